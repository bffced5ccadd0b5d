#!/bin/sh
# Makes every Compose command in this folder use docker/secrets.yml too, by a line in .env: otherwise
# `docker compose up --scale locust_worker=N` would start workers without the key, and the master without its login.
# Remove the line to start without logins again.
set -eu
cd "$(dirname "$0")/.."
wanted=docker-compose.yml:docker/secrets.yml
set_by_shell=${COMPOSE_FILE:-}
set_by_file=$(sed -n 's/^[[:space:]]*COMPOSE_FILE[[:space:]]*=[[:space:]]*//p' .env 2>/dev/null | tail -n 1)
refuse() { # arguments: the place that sets it, the value
  echo "error: $1 sets COMPOSE_FILE=$2, so Compose would start without logins and keys. Allowed: a list with" \
    "docker/secrets.yml, such as $wanted. Next: add :docker/secrets.yml to it, or remove it." >&2
  exit 2
}
case $set_by_shell in "" | *docker/secrets.yml*) ;; *) refuse "the shell" "$set_by_shell" ;; esac
case $set_by_file in
  *docker/secrets.yml*) exit 0 ;;
  "") ;;
  *) refuse .env "$set_by_file" ;;
esac
# If the last line has no line break, this one would be appended to it.
if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >>.env; fi
echo "COMPOSE_FILE=$wanted" >>.env
echo "added COMPOSE_FILE=$wanted to .env: every 'docker compose' command here now uses logins and keys"

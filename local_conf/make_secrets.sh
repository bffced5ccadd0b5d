#!/bin/sh
# Generates the passwords of `make up` in secrets/; existing ones are kept. Delete a file to renew it.
# Only the owner can enter the folder. The files in it are readable by all, because Compose mounts them unchanged
# and the program in the container runs as another user.
set -eu
cd "$(dirname "$0")/.."
umask 077
mkdir -p secrets
chmod 700 secrets
for name in web_password link_key grafana_admin_password grafana_secret_key; do
  file=secrets/$name
  if [ -s "$file" ]; then continue; fi
  # 32 characters out of 62 letters and digits have 190 bits.
  LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32 >"$file.new"
  chmod 444 "$file.new"
  mv -f "$file.new" "$file"
  echo "made $file"
done
echo "Locust:  http://127.0.0.1:${WEB_PORT:-8089}  password in secrets/web_password"
echo "Grafana: http://127.0.0.1:${GRAFANA_PORT:-3000}  user admin, password in secrets/grafana_admin_password"

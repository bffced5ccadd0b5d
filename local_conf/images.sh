#!/bin/sh
# Prints the names of the stack's images: those built by `make images`, and those named in the Compose file.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' locust/loadtest/__init__.py)
echo "loadtest:$version" "loadtest-target-app:$version"
docker compose --profile '*' config --images | grep '[:@]' | sort -u

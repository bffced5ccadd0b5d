#!/bin/sh
# Renews the hash-pinned lock files from pyproject.toml; needs uv on PATH.
set -eu
cd "$(dirname "$0")/.."
compile() { uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }
compile pyproject.toml --group build -o requirements.lock
compile pyproject.toml --all-extras --group build --group dev -c requirements.lock -o requirements-dev.lock
# Packages that OTLP=1 adds to the image: the blocks that the extra adds.
extra=$(mktemp)
compile pyproject.toml --group build --extra otlp -c requirements-dev.lock -o "$extra"
awk 'NR == FNR { if (/^[a-z0-9]/) known[$1]; next } /^[a-z0-9]/ { keep = !($1 in known) } keep' \
  requirements.lock "$extra" >docker/otlp.lock
rm "$extra"

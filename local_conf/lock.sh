#!/bin/sh
# Renews the hash-pinned lock files from pyproject.toml; needs uv on PATH.
set -eu
cd "$(dirname "$0")/.."
compile() { uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }
compile pyproject.toml --group build -o requirements.lock
compile pyproject.toml --all-extras --group build --group dev -c requirements.lock -o requirements-dev.lock

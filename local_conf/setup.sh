#!/bin/sh
# Creates .venv from a hash-pinned lock file, and does nothing if it is up to date.
#   local_conf/setup.sh [requirements.lock | requirements-dev.lock]
# Needs Python >= 3.11. Debian and Ubuntu ship Python without the part that puts pip into a new environment
# (python3-venv); it is then installed (as root) or unpacked into .cache (otherwise).
set -eu
cd "$(dirname "$0")/.."
lock=${1:-requirements.lock}
venv=.venv
started=$(date +%s)

say() { printf 'environment  %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
  for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"; return
    fi
  done
  fail "no Python >= 3.11 was found (tried: ${PYTHON:-python3.13 python3.12 python3.11 python3 python})." \
    "Install one, or name it: make setup PYTHON=/path/to/python3.12"
}

pip_wheel() { # prints the path of a pip wheel, from Debian's package, that runs without installation
  folder=$PWD/.cache/python-pip-whl
  if ! ls "$folder"/usr/share/python-wheels/pip-*.whl >/dev/null 2>&1; then
    mkdir -p "$folder/lists/partial"
    own="-o Dir::State::Lists=$folder/lists -o Dir::Cache=$folder -o APT::Sandbox::User="
    # shellcheck disable=SC2086 - several words on purpose
    (cd "$folder" && apt-get -qq $own update && apt-get -qq $own download python3-pip-whl &&
      dpkg -x python3-pip-whl_*.deb .) >&2 || return 1
  fi
  ls "$folder"/usr/share/python-wheels/pip-*.whl
}

make_venv() {
  if "$python" -c 'import ensurepip' 2>/dev/null; then "$python" -m venv --clear "$venv"; return; fi
  say "this Python has no ensurepip; getting pip from the system's packages"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null
    "$python" -m venv --clear "$venv" && return
  fi
  if command -v apt-get >/dev/null && wheel=$(pip_wheel); then
    "$python" -m venv --clear --without-pip "$venv"
    "$venv/bin/python" "$wheel/pip" install -q --no-index --find-links "$(dirname "$wheel")" pip
    return
  fi
  fail "$python cannot make an environment with pip in it (its ensurepip is missing)." \
    "On Debian or Ubuntu: sudo apt-get install python3-venv; then run this again"
}

# The environment is current for the same lock, the same packaging, and the interpreter that created it.
fingerprint() { cat "$lock" requirements.lock pyproject.toml | cksum; "$venv/bin/python" -V; }

# A development environment also serves as a runtime environment.
current() {
  for stamp in "$venv/stamp-$lock" "$venv/stamp-requirements-dev.lock"; do
    [ -x "$venv/bin/loadtest" ] && [ -f "$stamp" ] || continue
    lock=${stamp#"$venv"/stamp-}
    [ "$(cat "$stamp")" = "$(fingerprint 2>/dev/null)" ] && return
  done
  return 1
}

wanted=$lock
if current; then say "$venv is up to date"; exit 0; fi
lock=$wanted
python=$(find_python)
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  say "making $venv with $("$python" -V) ($python)"
  make_venv
fi
say "installing $(grep -c '^[a-z].*==' "$lock") packages, pinned by hash in $lock"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
# Modules are not compiled now: Python compiles those that it imports, a small part of them.
pip install -q --no-compile --no-deps --require-hashes --only-binary :all: -r "$lock"
pip install -q --no-deps --no-build-isolation -e .
fingerprint >"$venv/stamp-$lock"
say "ready in $(($(date +%s) - started)) s"

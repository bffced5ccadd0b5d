#!/bin/sh
# Runs the tests of code that depends on Locust's internals against the newest release, if that is not the pinned one.
# Failures are a warning to the maintainers of the replacements, not a failure of this version: the exit code stays 0.
#   local_conf/newest_locust.sh [VERSION]
set -eu
cd "$(dirname "$0")/.."
pinned=$(sed -n 's/^locust==\([0-9.]*\).*/\1/p' requirements.lock)
newest=${1:-$(.venv/bin/python -m pip --disable-pip-version-check index versions locust 2>/dev/null |
  sed -n '1s/.*(\([0-9.]*\)).*/\1/p')}
if [ -z "$newest" ]; then
  echo "NOTICE: the newest release of Locust could not be looked up: NOT TESTED." >&2
  exit 0
fi
if [ "$newest" = "$pinned" ]; then
  echo "newest Locust  $newest is the pinned release"
  exit 0
fi
venv=.cache/newest-locust
echo "newest Locust  testing $newest; $pinned is pinned"
.venv/bin/python -m venv --clear "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
pip install --no-compile --no-deps --require-hashes --only-binary :all: -r requirements-dev.lock
pip install --no-deps --no-build-isolation -e .
pip install "locust==$newest"
if "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/unit/swarm tests/native/test_measuring_swarm.py \
  tests/native/test_open_model.py tests/native/test_feeding_swarm.py tests/native/test_rebalancing.py; then
  echo "newest Locust  $newest passes: the pin can be raised"
else
  echo "WARNING: some tests fail with Locust $newest. Next: a replacement may no longer be needed (an xfail that passed)," \
    "or Locust changed what one relies on; see locust/loadtest/swarm/replacements." >&2
fi

#!/bin/sh
# Looks up the known weaknesses of everything in a lock file; ends with 1 when there is one. Where the data cannot be
# reached it says so loudly and ends with 0: an audit that could not be made is no finding.
#   local_conf/audit.sh [requirements.lock | requirements-dev.lock]
set -eu
cd "$(dirname "$0")/.."
lock=${1:-requirements.lock}
found=$(mktemp)
trap 'rm -f "$found" "$found.log"' EXIT
# pip-audit ends with 1 for a weakness and for a failure alike, but writes its findings only when it has looked.
if .venv/bin/pip-audit -r "$lock" --disable-pip --require-hashes --timeout 10 --progress-spinner off \
  -f columns -o "$found" 2>"$found.log"; then
  echo "audit        no known weakness in the $(grep -c '^[a-z].*==' "$lock") packages of $lock"
elif [ -s "$found" ]; then
  cat "$found"
  echo "error: $lock holds packages with known weaknesses. Next: raise them with local_conf/lock.sh." >&2
  exit 1
else
  tail -n 1 "$found.log" | cut -c 1-300 >&2
  echo "NOTICE: the data on known weaknesses could not be reached: $lock was NOT AUDITED." >&2
fi

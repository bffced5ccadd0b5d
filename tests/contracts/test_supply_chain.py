"""The product's components: listed, audited if possible, and built reproducibly."""

import datetime as dt
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.osv_service import osv_service

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"


def test_the_bill_of_materials_lists_every_locked_package(tmp_path: Path) -> None:
    """Each package of the lock is in the CycloneDX document with its hashes, and generating it twice gives the same."""
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, ROOT / "local_conf" / "sbom.py"], cwd=tmp_path, check=True, capture_output=True)
        made.append((tmp_path / "dist" / "sbom.cdx.json").read_text())
    document = json.loads(made[0])
    locked = dict(re.findall(r"(?m)^([a-z0-9.-]+)(?:\[.*\])?==([^ ]+)", (ROOT / "requirements.lock").read_text()))
    assert made[1] == made[0]
    assert document["bomFormat"] == "CycloneDX"
    assert {one["name"]: one["version"] for one in document["components"]} == locked
    assert all(one["hashes"] and one["purl"].startswith("pkg:pypi/") for one in document["components"])


def test_an_audit_that_cannot_be_made_says_so() -> None:
    """Without the data, the audit reports neither a finding nor a pass."""
    environment = {**os.environ, **dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"), NOWHERE)}
    done = _audited(environment)
    assert (done.returncode, done.stdout) == (0, "")
    for what in ("requirements.lock was NOT AUDITED", "the images were NOT AUDITED"):
        assert what in done.stderr


def _audited(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "local_conf" / "audit.py"), *words]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_an_old_version_in_a_lock_is_named(tmp_path: Path) -> None:
    """A service with OSV's interface knows a vulnerability of one of two packages, and the version that fixes it."""
    lock = tmp_path / "old.lock"
    lock.write_text("".join(f"{one} --hash=sha256:{'0' * 64}\n" for one in ("pip==9.0", "flask==3.0.0")))
    with osv_service(pip=("9.0", "19.2")) as url:
        done = _audited({**os.environ, "OSV_URL": url}, str(lock))
        assert done.returncode == 1
        assert f"error: {lock} has pip 9.0, fixed in 19.2" in done.stderr
        lock.write_text(f"flask==3.0.0 --hash=sha256:{'0' * 64}\n")
        done = _audited({**os.environ, "OSV_URL": url}, str(lock))
        assert (done.returncode, done.stdout) == (
            0,
            f"audit        no known vulnerability in the 1 packages of {lock}\n",
        )


def test_packages_that_an_index_knows_nothing_about_are_not_called_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit skips them, and exits as if there were no findings."""
    monkeypatch.syspath_prepend(str(ROOT / "local_conf"))
    audit = importlib.import_module("audit")
    unknown = {"name": "flask", "skip_reason": "Dependency not found on PyPI"}
    clean = {"name": "pip", "version": "26.0", "vulns": []}
    with pytest.raises(audit.NotAuditedError, match="nothing about 1 of 2 packages, such as flask"):
        audit.judge([clean, unknown])
    assert audit.judge([clean]) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('image = "a"\npackage = "b"\nuntil = 2026-06-01\nreason = "c"', None),
        ('image = "a"\npackage = "b"\nuntil = 2026-05-01\nreason = "c"', set()),
        ('image = "a"\npackage = "b"\nuntil = 2027-06-01\nreason = "c"', "allowed until 2027-06-01"),
        ('image = "a"\npackage = "b"\nuntil = 2026-06-01\nreason = ""', "is no entry"),
        ('image = "a"\npackage = "b"\nuntil = "always"\nreason = "c"', "is no entry"),
        ('image = "a"\npackage = "b"', "is no entry"),
    ],
)
def test_what_an_audit_allows_has_a_reason_and_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, said: str | set[str] | None
) -> None:
    """An entry is valid until its date; one without a reason, or valid for years, is refused."""
    monkeypatch.syspath_prepend(str(ROOT / "local_conf"))
    audit_images = importlib.import_module("audit_images")
    file = tmp_path / "allowed.toml"
    file.write_text(f"[[allowed]]\n{entry}\n")
    today = dt.date(2026, 5, 20)
    if isinstance(said, str):
        with pytest.raises(SystemExit, match=said):
            audit_images.allowed(today, file)
    else:
        assert audit_images.allowed(today, file) == ({("a", "b")} if said is None else said)
    assert audit_images.allowed(today) == set()


NAMES_IMAGES = ("docker-compose.yml", "docker/*", "deploy/**/*.yaml", "docs/ci/*.yml", "tests/stack/*.yml")
OWN = {"loadtest", "loadtest-target-app"}
"""Their tag is this package's version, which the kustomizations give."""


def test_no_image_floats() -> None:
    """Each image has one patch version, the same everywhere, so that numbers of different days are comparable."""
    texts = [file.read_text() for names in NAMES_IMAGES for file in ROOT.glob(names) if file.is_file()]
    named = {one for text in texts for one in re.findall(r"(?:image: |FROM |_IMAGE:?[-=])([a-z][\w./:@-]*)", text)}
    images = dict(one.rpartition(":")[::2] for one in named - OWN)
    assert [tag for tag in images.values() if not re.fullmatch(r"v?\d+\.\d+\.\d+(-[\w.-]+)?", tag)] == []
    assert (
        len(images) == len(named - OWN) >= 6
    )  # each once; Python, Redis, its exporter, Prometheus, Grafana, MongoDB …


@pytest.mark.parametrize("name", ["locust", "target_app"])
def test_images_carry_no_time(name: str) -> None:
    """Files that a build writes get a fixed time, before anything is installed."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    assert text.index("ENV SOURCE_DATE_EPOCH=0") < text.index("RUN ")


@pytest.mark.parametrize("name", ["locust", "target_app"])
def test_dockerfiles_are_linted(name: str) -> None:
    """hadolint has no findings, and `make lint` runs it."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "docker" / f"{name}.Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint docker/*.Dockerfile" in (ROOT / "Makefile").read_text()

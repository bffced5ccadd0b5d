"""What the product is made of: listed, audited where that can be, and built the same way each time."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"


def test_the_bill_of_materials_lists_every_locked_package(tmp_path: Path) -> None:
    """Each package of the lock is in the CycloneDX document with its hashes, and a second one is the same."""
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
    """Without the data the audit is no finding, and no silence either."""
    environment = {**os.environ, **dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"), NOWHERE)}
    command = [str(ROOT / "local_conf" / "audit.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    for what in ("requirements.lock was NOT AUDITED", "the images' systems were NOT AUDITED"):
        assert what in done.stderr


NAMES_IMAGES = ("docker-compose.yml", "docker/*", "deploy/**/*.yaml", "docs/ci/*.yml", "tests/stack/*.yml")
OWN = {"loadtest", "loadtest-target-app"}
"""Their tag is this package's version, which the kustomizations give."""


def test_no_image_floats() -> None:
    """Each image is of one patch version, the same everywhere: two days' numbers come from the same programs."""
    texts = [file.read_text() for names in NAMES_IMAGES for file in ROOT.glob(names) if file.is_file()]
    named = {one for text in texts for one in re.findall(r"(?:image: |FROM |_IMAGE:?[-=])([a-z][\w./:@-]*)", text)}
    images = dict(one.rpartition(":")[::2] for one in named - OWN)
    assert [tag for tag in images.values() if not re.fullmatch(r"v?\d+\.\d+\.\d+(-[\w.-]+)?", tag)] == []
    assert (
        len(images) == len(named - OWN) >= 6
    )  # each once; Python, Redis, its exporter, Prometheus, Grafana, MongoDB …


@pytest.mark.parametrize("name", ["locust", "target_app"])
def test_images_carry_no_time(name: str) -> None:
    """What is written into an image while it is built gets a fixed time, before anything is installed."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    assert text.index("ENV SOURCE_DATE_EPOCH=0") < text.index("RUN ")


@pytest.mark.parametrize("name", ["locust", "target_app"])
def test_dockerfiles_are_linted(name: str) -> None:
    """hadolint has nothing to say, and `make lint` asks it."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "docker" / f"{name}.Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint docker/*.Dockerfile" in (ROOT / "Makefile").read_text()

"""The contents of images are listed from their files, whatever they were built from."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.osv_service import osv_service
from tests.stack.compose import ROOT, Project, docker

UNKNOWN = "nothing.example/nothing:1.0.0"


def test_the_contents_of_an_image_are_listed(built: Project) -> None:
    """Packages of the system and of the lock are there; an image that this machine lacks is named, and left out."""
    image = f"{built.name}{built.separator}target_app:latest"
    command = [ROOT / "local_conf" / "sbom_images.sh", image, UNKNOWN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=400)
    assert f"{UNKNOWN} is not on this machine: its contents were NOT LISTED" in done.stderr
    file = ROOT / "dist" / "sbom" / f"{image.replace(':', '-')}.cdx.json"
    first = file.read_bytes()
    subprocess.run(command, capture_output=True, check=True, timeout=400)
    assert file.read_bytes() == first
    found = [one.get("purl", "") for one in json.loads(file.read_text())["components"]]
    file.unlink()
    held = dict(re.findall(r"pkg:pypi/([^@\n]+)@([^?\n]+)", "\n".join(found)))
    locked = dict(re.findall(r"(?m)^([a-z0-9.-]+)(?:\[.*\])?==([^ ;]+)", (ROOT / "requirements.lock").read_text()))
    assert {"flask", "gunicorn", "redis", "hiredis"} <= set(held)
    assert {name: version for name, version in held.items() if name in locked and version != locked[name]} == {}
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in found)


OLD = r"""
FROM {image}
USER 0
RUN sed -i '/^Package: libssl3t64$/,/^Version: /s/^Version: .*/Version: 3.0.0-1/' /var/lib/dpkg/status
RUN mkdir -p /opt/more/pip-9.0.dist-info && printf 'Name: pip\nVersion: 9.0\n\n' >/opt/more/pip-9.0.dist-info/METADATA
"""


@pytest.fixture
def old(built: Project, tmp_path: Path) -> Iterator[str]:
    """An image with an old system package, and an old Python package in addition to the locked ones."""
    name = f"{built.name}-old:1"
    (tmp_path / "Dockerfile").write_text(OLD.format(image=f"{built.name}{built.separator}target_app:latest"))
    docker("build", "-q", "-t", name, str(tmp_path))
    yield name
    docker("image", "rm", "--force", name)


def _audited(image: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "local_conf" / "audit_images.py"), image]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=400
    )


def test_old_packages_in_an_image_are_named(old: str) -> None:
    """The security archive has a newer system package, and a service with OSV's interface lists the Python package."""
    with osv_service(pip=("9.0", "19.2")) as url:
        done = _audited(old, OSV_URL=url)
    if "its system was NOT AUDITED" in done.stderr:
        pytest.skip(f"the security archive cannot be reached: audits of images are NOT tested\n{done.stderr}")
    assert done.returncode == 1
    assert re.search(f"error: {old} holds libssl3t64 3.0.0-1, fixed in 3\\.", done.stderr)
    assert f"error: {old} holds pip 9.0, fixed in 19.2" in done.stderr
    assert f"error: {old} holds flask" not in done.stderr


def test_an_image_that_cannot_be_audited_is_named(old: str, tmp_path: Path) -> None:
    """When the archive is unreachable or the image is missing, nothing is called clean."""
    proxies = {"default": {"httpProxy": "http://127.0.0.1:9"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    done = _audited(old, DOCKER_CONFIG=str(tmp_path), OSV_URL="http://127.0.0.1:9")
    for what in ("its system was NOT AUDITED", "its Python packages were NOT AUDITED"):
        assert f"NOTICE: {old}: {what}" in done.stderr
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{UNKNOWN} is not on this machine: it was NOT AUDITED" in _audited(UNKNOWN).stderr


def test_an_image_has_what_exports_spans_if_that_is_wanted(built: Project) -> None:
    """`OTLP=1 docker compose build` adds the packages, which are otherwise not in the image."""
    with_spans = Project(f"{built.name}-otlp", OTLP="1")
    imported = "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http"
    image = f"{with_spans.name}{with_spans.separator}locust_worker"
    try:
        with_spans.run("build", "locust_worker", timeout_s=300)
        docker("run", "--rm", image, "python", "-c", imported)
        with pytest.raises(subprocess.CalledProcessError):
            docker("run", "--rm", f"{built.name}{built.separator}locust_worker", "python", "-c", imported)
    finally:
        docker("image", "rm", "--force", image)

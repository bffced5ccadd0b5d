"""Results: copies runs' results from the volume to this machine, with a pod created for it.

Tested in tests/kubernetes.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from loadtest import untrusted
from loadtest.exceptions import RecordError, StackError, UsageError
from loadtest.kubernetes import pods
from loadtest.kubernetes.pods import VOLUME
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from loadtest.kubernetes.kubectl import Kubectl

_POD: Final = "loadtest-fetch"
_LONGEST_S: Final = 300.0
_ATTEMPTS: Final = 3


def check_new(runs_dir: Path, run_id: str) -> None:
    """Check that this machine has no run of this name.

    Raises:
        UsageError: it has one.
    """
    if (runs_dir / run_id).exists():
        raise UsageError(
            f"RUN_ID={run_id} is taken: {runs_dir / run_id} exists. Allowed: a name that no run has. Next: choose "
            "another RUN_ID, or move that folder."
        )


def fetch(kubectl: Kubectl, pod: str, run_id: str, runs_dir: Path, since: str | None = None) -> RunFolder:
    """Copy the results of a run into its folder below `runs_dir`.

    Args:
        kubectl: of the namespace.
        pod: the pod of deploy/kubernetes/fetch, as text; it is made, and removed again.
        run_id: the run's name.
        runs_dir: the folder of the results here.
        since: take what was written since this time, under the name or with a number (night-2), which a run gets whose
            name is taken; None: take what has the name.

    Raises:
        UsageError: when the volume has no such run, or `runs_dir` has one of this name.
        StackError: when there is no volume, or the pod cannot be made.
        RecordError: when the results cannot be copied.
    """
    if not kubectl.exists("persistentvolumeclaim", VOLUME):
        raise StackError(
            f"persistentvolumeclaim/{VOLUME} does not exist, so there are no results. Allowed: a namespace that has "
            "it. Next: name the namespace of the run with --namespace."
        )
    try:
        kubectl.apply(pod)
        pods.await_state(kubectl, "app.kubernetes.io/component=fetch", _is_ready, _LONGEST_S)
        names = _names(kubectl, since)
        name = next((one for one in names if one == run_id or (since and _is_numbered(one, run_id))), None)
        if name is None:
            raise UsageError(
                f"RUN={run_id} is not on persistentvolumeclaim/{VOLUME}. Allowed: {', '.join(names) or 'none'}. Next: "
                "name one of them."
            )
        check_new(runs_dir, name)
        _copy(kubectl, name, runs_dir)
    finally:
        kubectl.delete(pod)
    return RunFolder(runs_dir / name)


def _is_ready(items: list[dict[str, Any]]) -> bool:
    return any(status.get("ready") for one in items for status in one["status"].get("containerStatuses", []))


def _names(kubectl: Kubectl, since: str | None) -> list[str]:
    """Return the runs on the volume, the newest first."""
    newer = ("-newermt", since) if since else ()
    folders = ("find", ".", "-mindepth", "1", "-maxdepth", "1", "-type", "d", *newer, "-printf", "%T@ %f\n")
    found = (line.split() for line in kubectl.run("exec", _POD, "--", *folders).splitlines())
    return [name for _, name in sorted(found, reverse=True)]


def _is_numbered(name: str, run_id: str) -> bool:
    start, _, number = name.rpartition("-")
    return start == run_id and number.isdecimal()


def _copy(kubectl: Kubectl, name: str, runs_dir: Path) -> None:
    """Copy a folder atomically, so that an existing one is complete."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=runs_dir, prefix=".fetching-") as folder:
            try:
                with (
                    kubectl.opened("exec", _POD, "--", "tar", "--create", name) as reading,
                    tarfile.open(fileobj=reading.stdout, mode="r|") as archive,
                ):
                    untrusted.unpack(archive, Path(folder))
                    cast("IO[bytes]", reading.stdout).read()  # the archive's padding, or tar could not end
                if reading.returncode == 0:
                    (Path(folder) / name).rename(runs_dir / name)
                    return
                problem = f"kubectl exec ended with exit code {reading.returncode}"
            except (tarfile.TarError, OSError) as error:
                problem = str(error)
    raise RecordError(
        f"the results of {name} could not be copied in {_ATTEMPTS} attempts ({problem}). They are on "
        f"persistentvolumeclaim/{VOLUME}. Next: loadtest kubernetes fetch {name}."
    )

"""Compose: the Compose stack, for a scenario in any folder.

In a checkout the stack is the checkout. An installed package has no such folder: the stack's files are written to
`.loadtest/` of the present folder, where Compose builds the images and mounts them.

Tested in tests/native/test_installed.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

import target_app
from loadtest.exceptions import StackError, UsageError
from loadtest.settings import shipped
from loadtest.settings.config import variable
from loadtest.settings.hosts import leads_here
from loadtest.settings.scenario_files import paths_of_scenario
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtest.settings.config import Config

FOLDER: Final = Path(".loadtest")
_MOUNTED: Final = "scenarios"
"""Where the containers find the scenario's folder, below theirs."""
_FILES: Final = ("feed", "accounts_file", "token_file", "profiles_file", "thresholds_file", "workload_file")


def run(config: Config, hosts: Mapping[str, str], words: Sequence[str]) -> NoReturn:
    """Become a command of Compose for the stack, which then ends as it ends by itself, by Ctrl-C and SIGTERM too.

    Args:
        config: the settings of the run; the files that they name lie in the scenario's folder or below it.
        hosts: the host of each User class that has one, which is loaded where `host` is not set.
        words: Compose's command and its arguments, such as ``up``.

    Raises:
        UsageError: when a file lies elsewhere, or a host is this machine's own address.
        StackError: when there is no Compose.
    """
    environment = {**os.environ, **_settings(config, hosts)}
    command = [*_compose(), *words]
    folder = shipped.ROOT
    if not shipped.IS_CHECKOUT:
        folder = FOLDER.resolve()
        write(folder)
        environment.setdefault("COMPOSE_PROJECT_NAME", _project(Path.cwd().name))
    os.chdir(folder)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores
    os.execvpe(command[0], command, environment)  # noqa: S606 - a parent would kill it soon after Ctrl-C


def write(folder: Path) -> None:
    """Write the stack's files into a folder, and over them what is in local_conf/ of the present one.

    Raises:
        UsageError: when the folder cannot be written.
    """
    ours = shutil.ignore_patterns("__pycache__", "shipped")
    try:
        shutil.copytree(shipped.ROOT, folder, dirs_exist_ok=True)
        shutil.copytree(Path(__file__).parent, folder / "locust" / "loadtest", ignore=ours, dirs_exist_ok=True)
        shutil.copytree(Path(target_app.__file__).parent, folder / "target_app", ignore=ours, dirs_exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        if shipped.CONF_DIR.is_dir():
            shutil.copytree(shipped.CONF_DIR, folder / shipped.CONF_DIR, dirs_exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the stack's files cannot be written to {folder} ({error}). Allowed: a folder that can be written. "
            "Next: run the command in another folder."
        ) from error


def _settings(config: Config, hosts: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the containers: what was set, with files as the containers see them."""
    given: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    paths = [path.resolve() for path in paths_of_scenario(config.scenario)]
    folders = [path if path.is_dir() else path.parent for path in paths]
    folder = Path(os.path.commonpath(folders)) if folders else shipped.CONF_DIR.resolve()
    if folder in (Path.home(), *Path.home().parents):
        raise UsageError(
            f"the containers would see {folder} with all that it holds, and SELinux would label all of it for them. "
            "Allowed: a scenario in a folder of its own. Next: move it to one."
        )
    if paths:
        given["scenario"] = ",".join(_inside(folder, "scenario", str(path)) for path in paths)
    for name in (*_FILES, *(["profile"] if Path(config.profile).is_file() else [])):
        if given.get(name):
            given[name] = _inside(folder, name, str(given[name]))
    for host in [config.host] if config.host else hosts.values():
        _check_reachable("HOST", host)
    _check_reachable("REDIS_URL", config.redis_url or "")
    texts = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in given.items()}
    return {"SCENARIOS_DIR": str(folder), **{variable(name): text for name, text in texts.items()}}


def _inside(folder: Path, name: str, value: str) -> str:
    """Return the path of a file as the containers see it."""
    if "://" in value:
        return value
    path = Path(value).resolve()
    for seen, place in ((shipped.CONF_DIR.resolve(), shipped.CONF_DIR), (folder, Path(_MOUNTED))):
        if path.is_relative_to(seen):
            return str(place / path.relative_to(seen))
    raise UsageError(
        f"{name.upper()}={value} is neither in {folder} nor in local_conf/, the only folders of this machine that the "
        "containers can read. Allowed: a file in one of them. Next: move it there."
    )


def _check_reachable(name: str, value: str) -> None:
    if leads_here(value):
        url = urlsplit(value if "//" in value else f"//{value}")
        elsewhere = url._replace(netloc="host.docker.internal" + (f":{url.port}" if url.port else "")).geturl()
        elsewhere = elsewhere.removeprefix("//")
        raise UsageError(
            f"{name}={without_credentials(value)} is, in a container, the container itself. Allowed: an address that "
            f"containers can reach. Next: make the service listen on 0.0.0.0, and set {name}={elsewhere}."
        )


def _project(name: str) -> str:
    """Return a name that Compose allows for a project."""
    return "loadtest-" + re.sub(r"[^a-z0-9_-]", "", name.lower())


def _compose() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)  # noqa: S603
            if done.returncode == 0:
                return command
    raise StackError(
        "there is no Compose on this machine. Allowed: Docker with Compose v2, or docker-compose 1.29.2. Next: install "
        "one, or use 'loadtest run', which needs no Docker."
    )

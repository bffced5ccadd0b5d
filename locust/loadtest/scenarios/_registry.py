"""The registry: finds a built-in scenario by its name, and a scenario in files by their paths.

Either is a module with a `scenario`, a `Scenario` of the module's name; a file may also be an ordinary locustfile.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError, unknown_name
from loadtest.scenarios import _files
from loadtest.settings.scenario_files import name_of_scenario, paths_of_scenario

if TYPE_CHECKING:
    from loadtest.scenarios._scenario import Scenario


def names() -> list[str]:
    """Return the names of the built-in scenarios, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def load(name: str, *, fast: bool = False) -> Scenario:
    """Return the built-in scenario of a name, or the scenario in a file.

    Args:
        name: The setting `scenario`.
        fast: Move the file's stock User classes to this product's client where that does not change their behaviour.

    Raises:
        UsageError: there is no such scenario, or the file cannot be imported or does not define a scenario of its name.
    """
    if paths := paths_of_scenario(name):
        before = set(sys.modules)
        loaded = _files.load(paths, name_of_scenario(name))
        _sources[name] = _files.sources(paths, before)
        if fast:
            from loadtest.scenarios import _fast  # noqa: PLC0415 - imports Locust, see `_files`

            loaded = replace(loaded, notes=_fast.convert(loaded.user_classes))
        _from_files[loaded.name] = loaded
        return loaded
    if name not in names():
        raise UsageError(unknown_name("SCENARIO", name, names()))
    scenario: Scenario = importlib.import_module(f"{__package__}.{name}").scenario
    return scenario


def files_of(name: str) -> tuple[Path, ...]:
    """Return the source files of a scenario that was loaded from files, see `_files.sources`; none for a built-in one.

    Args:
        name: The setting `scenario`.
    """
    return _sources.get(name, ())


def requests_of(name: str) -> tuple[tuple[str, str], ...]:
    """Return the requests that a scenario declares; none unless it is built-in or its file has been loaded."""
    declared = _declared(name)
    return declared.requests if declared else ()


def streams_of(name: str) -> tuple[tuple[str, str], ...]:
    """Return the declared requests whose answers are read as streams."""
    declared = _declared(name)
    return declared.streams if declared else ()


def _declared(name: str) -> Scenario | None:
    return _from_files.get(name) or (load(name) if name in names() else None)


_from_files: dict[str, Scenario] = {}
_sources: dict[str, tuple[Path, ...]] = {}

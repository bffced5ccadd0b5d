"""The registry: finds a built-in scenario by its name, and a scenario in a file by the file's path.

Either is a module that holds `scenario`, a `Scenario` of the module's name. A file may also be an ordinary locustfile:
its User classes and its LoadTestShape are then the scenario, under the file's name, and its requests are learnt as they
come.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from loadtest.exceptions import UsageError
from loadtest.settings.config import SCENARIO_ENDING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from locust import LoadTestShape, User


@dataclass(frozen=True)
class Scenario:
    """A named user journey: who does it, what it requests, and the data it needs.

    Attributes:
        name: The module's name.
        user_classes: Locust User classes whose `scenario` is that name.
        requests: Every (method, name) that the users may record, so that each is known before load begins; empty where
            they are learnt as they come.
        load_data: Loads the data that the users read, given a Redis URL and a listener for progress (done, total);
            None when there is nothing to load. Raises StackError when it cannot.
        shape: The LoadTestShape that says how many users run; None where the load profile does.
        is_locustfile: Whether it is an ordinary locustfile, which was not written for the sample target.
    """

    name: str
    user_classes: tuple[type[User], ...]
    requests: tuple[tuple[str, str], ...] = ()
    load_data: Callable[[str, Callable[[int, int], None]], None] | None = None
    shape: type[LoadTestShape] | None = None
    is_locustfile: bool = False

    @property
    def classes(self) -> dict[str, type]:
        """The classes that Locust must find in its locustfile, by name."""
        return {one.__name__: one for one in (*self.user_classes, self.shape) if one is not None}

    @property
    def takes_sample_target(self) -> bool:
        """Whether the sample target is loaded when no other is given."""
        return not (self.is_locustfile or self.hosts)

    @property
    def hosts(self) -> dict[str, str]:
        """The host of each User class that has one of its own, by the class's name.

        The built-in ones name where the sample target usually is, which the local stack starts itself, elsewhere.
        """
        return {
            one.__name__: one.host
            for one in self.user_classes
            if one.host and one.__module__.rpartition(".")[0] != __package__
        }

    @property
    def needs_redis(self) -> bool:
        """Whether its users, or the data that it loads, need the Redis of REDIS_URL."""
        from loadtest.clients.redis import RedisJsonUser  # noqa: PLC0415 - imports Locust, see `_of_locustfile`

        return self.load_data is not None or any(issubclass(one, RedisJsonUser) for one in self.user_classes)


def names() -> list[str]:
    """Return the names of the built-in scenarios, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def load(name: str) -> Scenario:
    """Return the built-in scenario of a name, or the scenario in the file of a path.

    Raises:
        UsageError: there is none; the file cannot be imported, or does not define a scenario of its name.
    """
    if name.endswith(SCENARIO_ENDING):
        loaded = _load_file(Path(name))
        _from_files[loaded.name] = loaded
        return loaded
    if name not in names():
        nearest = difflib.get_close_matches(name, names(), 1)
        advice = f"Did you mean {nearest[0]}?" if nearest else "Set LOADTEST_SCENARIO to one of them."
        raise UsageError(f"There is no scenario {name!r}. Allowed: {', '.join(names())}. {advice}")
    scenario: Scenario = importlib.import_module(f"{__package__}.{name}").scenario
    return scenario


def requests_of(name: str) -> tuple[tuple[str, str], ...]:
    """Return the requests that a scenario declares; none unless it is built-in, or of a file that was loaded."""
    if name in _from_files:
        return _from_files[name].requests
    return load(name).requests if name in names() else ()


_from_files: dict[str, Scenario] = {}


def _load_file(path: Path) -> Scenario:
    if not path.is_file():
        _refuse(path, "there is no such file", "correct the path, or write one: loadtest init NAME")
    module = _import_file(path)
    scenario = getattr(module, "scenario", None)
    if not isinstance(scenario, Scenario):
        return _of_locustfile(path, module)
    if scenario.name != path.stem:
        _refuse(path, f"its scenario is named {scenario.name!r}", f"name it {path.stem!r}, or rename the file")
    return scenario


def _of_locustfile(path: Path, module: ModuleType) -> Scenario:
    """Return the scenario that an ordinary locustfile is."""
    # The command line imports this module, and must not import Locust: that replaces sockets with gevent's.
    from locust.util.load_locustfile import is_shape_class, is_user_class  # noqa: PLC0415

    user_classes = tuple(value for value in vars(module).values() if is_user_class(value))
    if not user_classes:
        _refuse(path, "it has no User class", "write one, as `loadtest init NAME` does")
    shapes = [value for value in vars(module).values() if is_shape_class(value)]
    if len(shapes) > 1:
        names_of_shapes = ", ".join(shape.__name__ for shape in shapes)
        _refuse(path, f"it has several LoadTestShapes: {names_of_shapes}", "leave one")
    for user_class in user_classes:
        if not getattr(user_class, "scenario", None):
            user_class.scenario = path.stem
    return Scenario(path.stem, user_classes, shape=shapes[0] if shapes else None, is_locustfile=True)


def _import_file(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"loadtest_scenario_{path.stem}", path)
    if specification is None or specification.loader is None:
        _refuse(path, "it cannot be imported", "rename it")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import what lies beside it
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(path, error)
        _refuse(path, f"line {line}: {type(error).__name__}: {error}", "correct it")
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _line_in(path: Path, error: BaseException) -> int | None:
    """Return the last line of the file that led to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == path), None)


def _refuse(path: Path, reason: str, advice: str) -> NoReturn:
    raise UsageError(
        f"SCENARIO={path} cannot be run: {reason}. Allowed: a locustfile, or a Python file that defines a scenario of "
        f"the file's name. Next: {advice}."
    )

"""Files: loads the scenario of a file, or of one or more ordinary locustfiles or a folder of them.

They are imported as in Locust. Together they make up the scenario: their User classes, their LoadTestShapes, and the
requests declared by their `scenario` objects; other requests are added as they occur.

Tested in tests/unit/scenarios/test_registry.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from loadtest.exceptions import UsageError
from loadtest.scenarios._scenario import Scenario
from loadtest.settings.scenario_files import SCENARIO_ENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from types import ModuleType

    from locust import User

_PACKAGE: Final = Path(__file__).parents[1]
_LIBRARIES: Final = "site-packages"
_labelled: set[type] = set()
"""Classes whose scenario's name was set here; a subclass in another file must not inherit it."""


def load(paths: Sequence[Path], name: str) -> Scenario:
    """Return the scenario of these files and folders.

    Args:
        paths: Where they are.
        name: The scenario's name.

    Raises:
        UsageError: A file is missing or cannot be imported, there is no User class, or two have the same name.
    """
    modules = [(file, _import_file(file)) for file in dict.fromkeys(file for path in paths for file in _files(path))]
    declared = [found for _, module in modules if isinstance(found := getattr(module, "scenario", None), Scenario)]
    if len(modules) == 1 and declared:
        if declared[0].name != name:
            _refuse(paths[0], f"its scenario is named {declared[0].name!r}", f"name it {name!r}, or rename the file")
        return declared[0]
    # The command line imports this module, and must not import Locust, which replaces sockets with gevent's.
    from locust.util.load_locustfile import is_shape_class, is_user_class, load_locustfile_pytest  # noqa: PLC0415

    found = [value for _, module in modules for value in vars(module).values()]
    user_classes = list(dict.fromkeys(filter(is_user_class, found)))
    if not user_classes:
        user_classes = [kind for file, _ in modules for kind in load_locustfile_pytest(str(file)).values()]
    if not user_classes:
        _refuse(paths[0], "it has no User class", "write one, as `loadtest init NAME` does")
    _check_names(paths[0], user_classes)
    for user_class in user_classes:
        _label(user_class, name)
    return Scenario(
        name,
        tuple(user_classes),
        tuple(dict.fromkeys(request for one in declared for request in one.requests)),
        _each(one.load_data for one in declared),
        tuple(dict.fromkeys(filter(is_shape_class, found))),
        is_locustfile=True,
        setup=_each(one.setup for one in declared),
        teardown=_each((one.teardown for one in declared), whatever_fails=True),
        remove_data=_each((one.remove_data for one in declared), whatever_fails=True),
        streams=tuple(dict.fromkeys(stream for one in declared for stream in one.streams)),
    )


def sources(paths: Sequence[Path], known: Collection[str]) -> tuple[Path, ...]:
    """Return the files of these paths: their own, and the modules that were imported from their folders.

    Args:
        paths: Where they are; they were loaded.
        known: The names of previously imported modules.
    """
    own = [file.resolve() for path in paths for file in _files(path)]
    folders = {file.parent for file in own}
    imported = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name not in known]
    neighbours = [
        file
        for file in (Path(name).resolve() for name in imported if name)
        if any(map(file.is_relative_to, folders)) and not file.is_relative_to(_PACKAGE) and _LIBRARIES not in file.parts
    ]
    return tuple(sorted({*own, *neighbours}))


def _each(functions: Iterable[Callable[..., Any] | None], *, whatever_fails: bool = False) -> Callable[..., Any] | None:
    """Return a function that calls each of these once and sums the results; None if there are none."""
    known = list(dict.fromkeys(filter(None, functions)))  # a file may import the scenario of another

    def call(*arguments: Any) -> int:
        answers: list[Any] = []

        def note(function: Callable[..., Any]) -> None:
            answers.append(function(*arguments))

        with contextlib.ExitStack() as still_to_call:
            for function in reversed(known) if whatever_fails else ():
                still_to_call.callback(note, function)
            for function in () if whatever_fails else known:
                note(function)
        return sum(answer for answer in answers if isinstance(answer, int))

    return call if known else None


def _files(path: Path) -> list[Path]:
    """Return the locustfiles of a path; for a folder those that Locust would load, in a stable order."""
    if path.is_dir():
        from locust.util.directory import get_abspaths_in  # noqa: PLC0415 - see `load`

        found = sorted(map(Path, get_abspaths_in(path, SCENARIO_ENDING)))  # type: ignore[no-untyped-call]
        if not found:
            _refuse(path, "the folder has no Python file", "name another folder, or a file")
        return found
    if not path.is_file():
        _refuse(path, "there is no such file", "correct the path, or write one: loadtest init NAME")
    return [path]


def _check_names(path: Path, user_classes: Iterable[type[User]]) -> None:
    """Locust identifies User classes by name: of two with the same name it would run only one."""
    by_name: dict[str, type[User]] = {}
    for kind in user_classes:
        other = by_name.setdefault(kind.__name__, kind)
        if other is not kind and inspect.getfile(other) != inspect.getfile(kind):
            places = f"{inspect.getfile(other)} and {inspect.getfile(kind)}"
            _refuse(path, f"{places} both have a User class {kind.__name__}", "rename one")


def _label(user_class: type[Any], name: str) -> None:
    owner = next((base for base in user_class.__mro__ if vars(base).get("scenario")), None)
    if owner is None or owner in _labelled:
        user_class.scenario = name
        _labelled.add(user_class)


def _import_file(path: Path) -> ModuleType:
    # As in Locust, by its own name, so that neighbouring modules can import it, but without replacing another module.
    is_free = path.stem not in sys.modules or path.stem == "locustfile"
    specification = importlib.util.spec_from_file_location(
        path.stem if is_free else f"loadtest_scenario_{path.stem}", path
    )
    if specification is None or specification.loader is None:
        _refuse(path, "it cannot be imported", "rename it")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import neighbouring modules
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(path, error)
        place = f"line {line}: " if line else ""  # none if the file cannot be read
        _refuse(path, f"{place}{type(error).__name__}: {error}", "correct it")
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _line_in(path: Path, error: BaseException) -> int | None:
    """Return the last line of the file that led to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == path.absolute()), None)


def _refuse(path: Path, reason: str, advice: str) -> NoReturn:
    raise UsageError(
        f"SCENARIO={path} cannot be run: {reason}. Allowed: a locustfile, or a Python file that defines a scenario of "
        f"the file's name. Next: {advice}."
    )

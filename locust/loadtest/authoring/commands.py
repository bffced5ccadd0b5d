"""The command `loadtest init`.

Tested in tests/unit/authoring/test_scenario_file.py.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loadtest import untrusted
from loadtest.authoring import curl_command, har_scenario, openapi_scenario, recorded_scenario, scenario_file
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.authoring.postman_collection import PostmanCollection
from loadtest.exceptions import UsageError
from loadtest.progress import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LONGEST_CPU_S: Final = 30.0
_MAX_MEMORY_BYTES: Final = 2 * 1024**3
_LONGEST_DRAFT: Final = 16 * 1024 * 1024
"""The maximum number of characters of a draft; Python needs hundreds of times as much memory to parse it."""
_MAX_NOTES: Final = 100
_LONGEST_NOTE: Final = 300


@dataclass
class _Drafted:
    """A draft, and remarks on it, each a word and a text."""

    name: str
    text: str
    host: str | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)


def _of_openapi(name: str | None, source: str) -> _Drafted:
    document = OpenApiDocument.read(source)
    name = scenario_file.checked_name(name or scenario_file.name_from(document.title))
    made = openapi_scenario.draft(document, name)
    lines = [*_noted("not drafted", made.notes), *_noted("check", made.checks)]
    return _Drafted(name, made.text, openapi_scenario.host_of(document), lines)


def _of_har(name: str | None, source: str) -> _Drafted:
    made = har_scenario.draft(Path(source))
    name = scenario_file.checked_name(name or scenario_file.name_from(Path(source).stem))
    text = recorded_scenario.written(name, f"{made.host} as a browser used it", made.requests)
    return _Drafted(name, text, made.host, _noted("left out", made.notes))


def _of_curl(name: str | None, source: str) -> _Drafted:
    request, host = curl_command.request_of(source)
    name = scenario_file.checked_name(name or "my-request")
    return _Drafted(name, recorded_scenario.written(name, f"{request.method} {host}", [request]), host)


def _of_postman(name: str | None, source: str) -> _Drafted:
    made = PostmanCollection(Path(source))
    name = scenario_file.checked_name(name or scenario_file.name_from(made.title))
    text = recorded_scenario.written(name, made.title, made.requests)
    return _Drafted(name, text, made.host, _noted("not drafted", made.notes))


def _noted(word: str, notes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the first notes, each cut to a readable length, and the number of further ones."""
    more = [(word, f"{len(notes) - _MAX_NOTES:,} more")] if len(notes) > _MAX_NOTES else []
    return [*((word, note[:_LONGEST_NOTE]) for note in notes[:_MAX_NOTES]), *more]


def _refused(kind: str, source: str, reason: str) -> UsageError:
    return UsageError(
        f"--{kind} {source[:_LONGEST_NOTE]} cannot be used: {reason}. Allowed: what becomes a scenario within that. "
        "Next: use a smaller part of it. Nothing was written."
    )


_SOURCES: Final[dict[str, Callable[[str | None, str], _Drafted]]] = {
    "openapi": _of_openapi,
    "har": _of_har,
    "curl": _of_curl,
    "postman": _of_postman,
}


@click.command()
@click.argument("name", required=False)
@click.option("--openapi", metavar="URL_OR_FILE", help="Call each operation of this OpenAPI or Swagger document.")
@click.option("--har", metavar="FILE", help="Send the requests of this HAR file, a browser recording, in order.")
@click.option("--curl", metavar="COMMAND", help="Send the request of this curl command, given as one argument.")
@click.option("--postman", metavar="FILE", help="Send the requests of this Postman collection in order.")
def init(name: str | None, **sources: str | None) -> None:
    """Write a draft scenario, NAME.py, to the current folder.

    \b
    loadtest init my-scenario                                   runs as it is, against the sample target
    loadtest init --openapi http://127.0.0.1:8000/openapi.json  calls each operation of a service
    loadtest init --har shop.har                                repeats what a browser did
    loadtest init --curl 'curl https://shop.example.com/cart -d n=1'
    """
    given = [(kind, source) for kind, source in sources.items() if source is not None]
    if len(given) > 1 or (name is None and not given):
        found = "NAME is missing" if not given else " and ".join(f"--{kind}" for kind, _ in given) + " are given"
        raise UsageError(
            f"{found}. Allowed: a name, one of --openapi, --har, --curl and --postman, or both. Next: give one of them."
        )
    if given:
        ((kind, source),) = given
        refused = partial(_refused, kind, source)
        with untrusted.bounded(refused, _LONGEST_CPU_S, _MAX_MEMORY_BYTES):
            drafted = _SOURCES[kind](name, source)
        if len(drafted.text) > _LONGEST_DRAFT:
            raise refused(f"its scenario would have more than {_LONGEST_DRAFT:,} characters")
    else:
        name = scenario_file.checked_name(str(name))
        drafted = _Drafted(name, scenario_file.draft(name))
    path = scenario_file.write(drafted.name, drafted.text, Path())
    tasks = drafted.text.count("    @task")
    click.echo(f"written      {path}, {tasks} task{'s' * (tasks > 1)}")
    for word, text in drafted.lines:
        click.echo(printable(f"{word:12} {text}"))
    host = drafted.host if drafted.host and len(drafted.host) < _LONGEST_NOTE else None
    words = ["loadtest", "run", "--scenario", str(path), *(["--host", host] if host else [])]
    click.echo(printable(f"next         {shlex.join(words)}"))

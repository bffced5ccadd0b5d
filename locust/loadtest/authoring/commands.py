"""The command `loadtest init`.

Tested in tests/unit/authoring/test_scenario_file.py.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from loadtest.authoring import openapi_scenario, scenario_file
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.exceptions import UsageError
from loadtest.progress import printable


@click.command()
@click.argument("name", required=False)
@click.option("--openapi", metavar="URL_OR_FILE", help="Write a task for each operation of this OpenAPI document.")
def init(name: str | None, openapi: str | None) -> None:
    """Write a draft of a scenario, NAME.py, in this folder.

    \b
    loadtest init my-scenario                                   runs as it is, against the sample target
    loadtest init --openapi http://127.0.0.1:8000/openapi.json  a task for each operation of a service
    """
    if name is None and openapi is None:
        raise UsageError("NAME is missing. Allowed: a name, --openapi URL_OR_FILE, or both. Next: add one of them.")
    host = None
    drafted = openapi_scenario.Draft()
    if openapi is None:
        name = scenario_file.checked_name(str(name))
        text = scenario_file.draft(name)
    else:
        document = OpenApiDocument.read(openapi)
        name = scenario_file.checked_name(name or scenario_file.name_from(document.title))
        drafted = openapi_scenario.draft(document, name)
        text, host = drafted.text, openapi_scenario.host_of(document)
    path = scenario_file.write(name, text, Path())
    tasks = text.count("    @task")
    click.echo(f"written      {path}, {tasks} task{'s' * (tasks > 1)}")
    for note in drafted.notes:
        click.echo(printable(f"not drafted  {note}"))
    for check in drafted.checks:
        click.echo(printable(f"check        {check}"))
    words = ["loadtest", "run", "--scenario", str(path), *(["--host", host] if host else [])]
    click.echo(printable(f"next         {shlex.join(words)}"))

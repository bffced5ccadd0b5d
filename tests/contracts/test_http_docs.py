"""docs/reference/http_client.md agrees with the HTTP client."""

import inspect
import re
from pathlib import Path

from loadtest.clients.http import HttpUser
from loadtest.clients.http import errors as http_errors
from loadtest.clients.http.client import HttpClient
from loadtest.clients.http.response import Response

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "http_client.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_settings_have_their_documented_defaults():
    """Each row of the settings' table names an attribute of the class with that default."""
    for name, default, _ in rows("Settings of the class"):
        attribute = name.strip("`")
        if attribute in {"host", "scenario"}:
            continue
        value = getattr(HttpUser, attribute)
        assert default.strip("`") == (f"{value:g}" if isinstance(value, float) else str(value)), name


def test_every_argument_of_a_call_is_documented():
    """The table of arguments is request()'s, without method and URL."""
    documented = {row[0].strip("`") for row in rows("Calls")}
    assert set(inspect.signature(HttpClient.request).parameters) - {"self", "method", "url", "others"} == documented


def test_every_class_of_error_is_documented():
    """The table of errors has exactly the classes that the client counts."""
    documented = {word for row in rows("Error classes") for word in re.findall(r"`(\w+)`", row[0])}
    kinds = [kind for kind in vars(http_errors).values() if isinstance(kind, type)]
    declared = {kind.error_class for kind in kinds if isinstance(getattr(kind, "error_class", None), str)}
    assert (declared - {"other"}) | {"status_4xx", "status_5xx", "status_other"} == documented


def test_every_documented_part_of_a_response_exists():
    """Each attribute of a response that the page lists exists."""
    sentence = PAGE.split("A response has ", 1)[1].split(". A request", 1)[0]
    names = {name.removesuffix("()") for name in re.findall(r"`([\w()]+)`", sentence)}
    assert len(names) > 10
    assert names <= set(dir(Response)) | set(Response.__slots__)

"""docs/reference/http_client.md agrees with the HTTP client."""

import inspect
import re
from pathlib import Path

from geventhttpclient.useragent import UserAgent
from locust.contrib import fasthttp

from loadtest.clients.http import HttpUser
from loadtest.clients.http import errors as http_errors
from loadtest.clients.http.client import HttpClient
from loadtest.clients.http.refused import ARGUMENTS, ATTRIBUTES
from loadtest.clients.http.request import SentRequest
from loadtest.clients.http.response import CaughtResponse, Response

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


def public(*classes: type) -> set[str]:
    """The public names of stock classes and the library below them, including those that instances set."""
    names: set[str] = set()
    for stock in (each for one in classes for each in one.__mro__):
        if stock.__module__.partition(".")[0] in {"locust", "geventhttpclient"} and stock is not fasthttp.User:
            names |= {*vars(stock), *vars(stock).get("__annotations__", {})}
            names |= set(re.findall(r"self\.(\w+)(?::[^=\n]+)? = ", inspect.getsource(stock)))
    return {name for name in names if not name.startswith("_")}


def arguments() -> set[str]:
    """The arguments of FastHttpUser's calls, including those passed on to the library."""
    parameters = [
        *inspect.signature(fasthttp.FastHttpSession.request).parameters.values(),
        *inspect.signature(UserAgent.urlopen).parameters.values(),
    ]
    return {each.name for each in parameters if each.kind is not each.VAR_KEYWORD} - {"self"}


STOCK = {
    "user": public(fasthttp.FastHttpUser) - {"client", "host"},
    "client": public(fasthttp.FastHttpSession),
    "response": public(fasthttp.RestResponseContextManager, fasthttp.ErrorResponse),
    "sent": public(fasthttp.FastRequest),
}
OURS = {"user": HttpUser, "client": HttpClient, "response": CaughtResponse, "sent": SentRequest}


def compared() -> dict[str, str]:
    """The result that the comparison with FastHttpUser gives for each name."""
    return {name: answer for names, answer in rows("FastHttpUser → ours") for name in re.findall(r"`([^`]+)`", names)}


def test_everything_of_fast_http_user_has_a_row():
    """Every public attribute, argument and exception of FastHttpUser is compared, and nothing else."""
    raised = {
        name for name, kind in vars(fasthttp).items() if isinstance(kind, type) and issubclass(kind, BaseException)
    }
    expected = {f"{owner}.{name}" for owner, names in STOCK.items() for name in names}
    expected |= {f"request({name})" for name in arguments()} | raised
    mentioned = set(compared())
    assert (expected - mentioned, mentioned - expected) == (set(), set())


def test_what_the_comparison_says_holds():
    """The same names exist here, names without an equivalent do not, and refused ones are in the refusal tables."""
    for name, answer in compared().items():
        owner, _, attribute = name.rstrip(")").replace("(", ".").partition(".")
        if answer.startswith("refused"):
            assert attribute in (ARGUMENTS if owner == "request" else ATTRIBUTES), name
        elif owner == "request":
            assert attribute in inspect.signature(HttpClient.request).parameters, name
        elif owner in OURS:
            source = inspect.getsource(OURS[owner])
            exists = hasattr(OURS[owner], attribute) or f"self.{attribute}" in source
            assert exists is not answer.startswith("none"), name

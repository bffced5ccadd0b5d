"""A curl command as a request."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from loadtest.authoring.curl_command import request_of
from loadtest.cli import main
from loadtest.exceptions import ExitCode, UsageError

FORM = "application/x-www-form-urlencoded"
CHROME = r"""curl 'https://shop.example.com/api/cart?x=1' \
  -X 'PUT' \
  -H 'accept: application/json' -H 'accept-language: de' \
  -H 'content-type: application/json' \
  -H 'sec-ch-ua: "x"' -H 'x-shop: 7' \
  -b 'session=secret' \
  --data-raw $'{"name":"it\'s \u0021","n":1}' --compressed"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("curl https://a.example", ("GET", "/", None, "")),
        ("curl a.example:8080/x?y -sSL", ("GET", "/x?y", None, "")),
        ("curl -I http://a.example/x", ("HEAD", "/x", None, "")),
        ("curl http://a.example -d a=1 -d 'b=x y'", ("POST", "/", [["a", "1"], ["b", "x y"]], FORM)),
        ("curl http://a.example --data-urlencode 'q=x y&z'", ("POST", "/", [["q", "x y&z"]], FORM)),
        ("curl -G http://a.example/x?k=v -d a=1", ("GET", "/x?k=v&a=1", None, "")),
        ("curl -XDELETE http://a.example/1", ("DELETE", "/1", None, "")),
        ("curl --json '{\"a\": [1]}' http://a.example", ("POST", "/", {"a": [1]}, "application/json")),
        ("/bin/curl --request=PATCH --url http://a.example -d x -H 'Content-Type: a/b'", ("PATCH", "/", "x", "a/b")),
        (CHROME, ("PUT", "/api/cart?x=1", {"name": "it's !", "n": 1}, "application/json")),
    ],
)  # fmt: skip
def test_what_a_command_sends(command: str, expected: tuple[Any, ...]) -> None:
    """Method, path with query, body and its media type are read."""
    request, _ = request_of(command)
    assert (request.method, request.target, request.body, request.media_type) == expected


def test_headers_of_a_browser_and_cookies_are_left_out() -> None:
    """The client has its own; a session cookie is a secret, and soon invalid."""
    request, host = request_of(CHROME)
    assert (request.headers, host) == ({"accept": "application/json", "x-shop": "7"}, "https://shop.example.com")


def test_a_form_with_a_file() -> None:
    """Its fields keep their types."""
    request, _ = request_of("curl http://a.example -F n=1 -F 'photo=@/x/me.png;type=image/png'")
    assert request.fields == [("n", None, "1", "text/plain"), ("photo", "me.png", "example", "image/png")]


def test_the_body_can_be_in_a_file(tmp_path: Path) -> None:
    """It is read as curl reads it."""
    (tmp_path / "a.json").write_text('{\n"a": 1}')
    request, _ = request_of(
        f"curl http://a.example -H 'content-type: application/json' --data-binary @{tmp_path}/a.json"
    )
    assert request.body == {"a": 1}


def test_credentials_do_not_enter_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password of -u, a password in the URL and a token are left out."""
    monkeypatch.chdir(tmp_path)
    for name, command in (
        ("a", "curl -u ada:hunter22 http://a.example/"),
        ("b", "curl http://ada:hunter22@a.example/"),
        ("c", "curl http://a.example/ -H 'Authorization: Bearer hunter22'"),
    ):
        done = CliRunner().invoke(main, ["init", name, "--curl", command])
        assert done.exit_code == ExitCode.PASSED, done.output
        assert "hunter22" not in done.output + Path(f"{name}.py").read_text()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "column 1: it does not begin with curl"),
        ("wget http://a", "column 1: it does not begin with curl"),
        ("curl", "column 1: it has 0 URLs"),
        ("curl http://a http://b", "column 1: it has 2 URLs"),
        ("curl 'http://a", "column 1: it is cut off"),
        ("curl ftp://a/", "column 6: 'ftp://a/' is not an http or https URL"),
        ("curl http://a:x/", "is not an http or https URL"),
        ("curl http://a -T file", "column 15: the option '-T' has no draft"),
        ("curl http://a -d", "column 15: the option '-d' has no value"),
        ("curl http://a -d @/nonexistent", "the file /nonexistent cannot be read"),
        ("curl http://a -X 'G T'", "'G T' is not a method"),
        ("curl http://a -H 'a b: c'", "'a b' is not a header"),
        ("curl " + "x" * 2_000_000, "it is longer than"),
    ],
)
def test_a_wrong_command_is_refused_with_its_place(command: str, words: str) -> None:
    """One sentence, with the allowed values and the next step."""
    with pytest.raises(UsageError) as refused:
        request_of(command)
    text = str(refused.value)
    assert (words in text, "Allowed: " in text, "Next: " in text, len(text) < 500) == (True, True, True, True), text


def test_one_source_at_a_time() -> None:
    """A name is required as well."""
    both = CliRunner().invoke(main, ["init", "--curl", "curl http://a", "--har", "x.har"])
    assert (both.exit_code, "--curl and --har are given" in both.output) == (ExitCode.USAGE, True)
    none = CliRunner().invoke(main, ["init"])
    assert (none.exit_code, "NAME is missing" in none.output) == (ExitCode.USAGE, True)


def test_json_that_is_none_is_sent_as_it_is() -> None:
    """It may be a template of another tool."""
    request, _ = request_of("curl http://a.example -H 'content-type: application/json' -d '{{x}}'")
    assert request.body == "{{x}}"
    assert json.dumps(request.body) == '"{{x}}"'

"""A browser recording becomes a scenario that repeats it for another user, without credentials in the file."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from loadtest import scenarios
from loadtest.authoring import har_scenario, recorded_scenario
from loadtest.authoring.recorded_scenario import Recorded
from loadtest.cli import main
from loadtest.exceptions import ExitCode, UsageError
from loadtest.settings.credentials import Account
from tests.journeys import run_each_task_once

TOKEN = "tok-4711-secret"  # noqa: S105
CSRF = "f00dcafe1234"
JSON, FORM_TYPE = "application/json", "application/x-www-form-urlencoded"
PAGE = f'<form><input type="hidden" value="{CSRF}" name="csrf"></form>'


def entry(at_s: float, method: str, path: str, answer: Any = "", **more: Any) -> dict[str, Any]:
    """Return an entry of a HAR file whose response took 100 ms."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    kind = "text/html" if isinstance(answer, str) else "application/json"
    headers = [{"name": name, "value": value} for name, value in more.pop("headers", {}).items()]
    posted = (
        {"postData": {"mimeType": more.pop("kind", "application/json"), "text": more.pop("body")}}
        if "body" in more
        else {}
    )
    started = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1769860800 + at_s)) + f".{round(at_s % 1 * 1000):03d}Z"
    url = path if "://" in path else f"https://shop.example.com{path}"
    response = {"status": 200, "content": {"mimeType": kind, "text": text}, **more}
    return {
        "startedDateTime": started,
        "time": 100,
        "request": {"method": method, "url": url, "headers": headers, **posted},
        "response": response,
    }


SIGNED_IN = {"authorization": f"Bearer {TOKEN}"}
FORM = {"body": f"user=ada&password=pa%3Ass&csrf={CSRF}", "kind": "application/x-www-form-urlencoded"}
CART = {"data": {"id": 98765, "lines": [{"sku": "blue-shoe-1"}]}}
LINE = '{"cart": 98765, "note": "for 98765!"}'
ENTRIES = [
    entry(0.0, "GET", "/login", PAGE, headers={"User-Agent": "Browser", "Cookie": "a=b"}),
    entry(0.1, "GET", "/logo.png", content={"mimeType": "image/png"}),
    entry(0.1, "POST", "https://ads.example.com/hit", {}, body="{}"),
    entry(1.6, "POST", "/login", {"access": TOKEN}, **FORM),
    entry(1.8, "POST", "/carts", CART, body='{"n": 1}', headers=SIGNED_IN),
    entry(2.0, "PUT", "/carts/98765/lines/blue-shoe-1?cart=98765", {}, body=LINE, headers=SIGNED_IN),
    entry(2.2, "GET", "/old", "", status=302, redirectURL="/new"),
    entry(2.3, "GET", "/new", ""),
]


@pytest.fixture
def service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A service that gives every user different values, and refuses those of another user."""
    app, seen = flask.Flask("shop"), []
    numbers = itertools.count(1000)

    @app.before_request
    def keep() -> None:
        request = flask.request
        body = request.get_json(silent=True) if request.is_json else request.form.to_dict()
        seen.append(
            {"line": f"{request.method} {request.full_path.rstrip('?')}", "body": body, "at_s": time.monotonic()}
        )

    def check(name: str, got: Any) -> None:
        if got != given[name]:
            flask.abort(403, f"{name} is {got}")

    given: dict[str, Any] = {}

    @app.get("/login")
    def form() -> str:
        given["csrf"] = f"csrf{next(numbers)}"
        return PAGE.replace(CSRF, given["csrf"])

    @app.post("/login")
    def log_in() -> Any:
        check("csrf", flask.request.form["csrf"])
        given["token"] = f"token-{next(numbers)}"
        return {"access": given["token"]}

    @app.post("/carts")
    def cart() -> Any:
        check("token", flask.request.headers["Authorization"].removeprefix("Bearer "))
        given["id"], given["sku"] = next(numbers), f"red-shoe-{next(numbers)}"
        return {"data": {"id": given["id"], "lines": [{"sku": given["sku"]}]}}

    @app.put("/carts/<int:id>/lines/<sku>")
    def line(id: int, sku: str) -> Any:  # noqa: A002
        check("id", id)
        check("sku", sku)
        return {}

    app.add_url_rule("/old", "old", lambda: flask.redirect("/new"))
    app.add_url_rule("/new", "new", lambda: "new")
    running = make_server("127.0.0.1", 0, app)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", seen
    running.shutdown()
    running.server_close()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HAR file in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shop.har"
    path.write_text(json.dumps({"log": {"entries": ENTRIES}}))
    return path


def test_a_recording_runs_again_for_another_user(
    service: tuple[str, list[dict[str, Any]]], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value that a response returned is taken from it in path, query, header, form and JSON, with its type."""
    done = CliRunner().invoke(main, ["init", "--har", str(file)])
    assert done.exit_code == ExitCode.PASSED, done.output
    assert [line[:12].strip() for line in done.output.splitlines()] == ["written", "left out", "left out", "next"]
    assert "1 requests to https://ads.example.com" in done.output
    assert "--scenario shop.py --host https://shop.example.com" in done.output
    monkeypatch.setattr(scenarios, "accounts", lambda: (Account("eve", "s&cret"),))
    text = Path("shop.py").read_text()
    secrets = [secret for secret in (TOKEN, CSRF, "pa:ss", "pa%3Ass", "ada", "98765", "blue-shoe-1") if secret in text]
    assert secrets == []
    url, seen = service
    requests = run_each_task_once(scenarios.load("shop.py").user_classes[0], url)
    assert [f"{each.name}: {each.error}" for each in requests if each.error] == []
    assert {(each.method, each.name) for each in requests} == set(scenarios.load("shop.py").requests)
    lines = [each["line"] for each in seen]
    assert lines == [
        "GET /login",
        "POST /login",
        "POST /carts",
        "PUT /carts/1002/lines/red-shoe-1003?cart=1002",
        "GET /old",
        "GET /new",
    ]
    assert seen[1]["body"] == {"user": "eve", "password": "s&cret", "csrf": "csrf1000"}
    assert seen[3]["body"] == {"cart": 1002, "note": "for 1002!"}
    assert seen[1]["at_s"] - seen[0]["at_s"] > 1.4  # the browser waited 1.5 s after the page


def test_a_value_that_was_sent_before_it_was_given_is_an_input(tmp_path: Path) -> None:
    """The person entered it; the response only repeats it."""
    entries = [entry(0, "GET", "/items/red-shoe", {"id": "red-shoe"}), entry(1, "GET", "/items/red-shoe/price", {})]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    made = har_scenario.draft(tmp_path / "a.har")
    assert [(each.target, each.kept) for each in made.requests] == [
        ("/items/red-shoe", {}),
        ("/items/red-shoe/price", {}),
    ]


def test_short_values_are_no_link(tmp_path: Path) -> None:
    """A 1 in a response and a 1 in a path are a coincidence."""
    entries = [entry(0, "GET", "/a", {"page": 1, "sort": "name"}), entry(1, "GET", "/b/1?sort=name", {})]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    assert [each.kept for each in har_scenario.draft(tmp_path / "a.har").requests] == [{}, {}]


def test_credentials_of_a_recording_come_from_files() -> None:
    """A token that no response returned would otherwise be written to the file, and end up in a repository."""
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": "k3y", "X-Shop": "7"}
    login = Recorded("POST", "/a", {"Authorization": "Basic YTpi"})
    login.take_body('{"email": "ada@example.com", "password": "hunter22", "keep": true}', "application/json")
    text = recorded_scenario.written("x", "X", [Recorded("GET", "/", headers), login])
    assert [secret for secret in (TOKEN, "k3y", "YTpi", "hunter22", "ada@") if secret in text] == []
    assert "headers=bearer_headers() | api_key('X-Api-Key') | {'X-Shop': '7'}" in text
    assert "'email': self.account.login, 'password': self.account.password, 'keep': True" in text
    compile(text, "x.py", "exec")


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
HIDDEN: dict[str, tuple[str, str, str, str]] = {
    "a password below a name": ("/a", '{"user": {"email": "e", "password": "hunter2"}}', JSON, "self.account.password"),
    "a list": ("/a", '[{"new_password": "hunter2"}]', JSON, "self.account.password"),
    "a number": ("/a", '{"pin": 40711}', JSON, "self.token"),
    "a key": ("/a", '{"clientSecret": "hunter2", "api-key": "hunter2"}', JSON, "self.token"),
    "variables of GraphQL": ("/a", '{"query": "q", "variables": {"refresh_token": "hunter2"}}', JSON, "self.token"),
    "a field of a form": ("/a", "user%5Bapi_token%5D=hunter2&n=1", FORM_TYPE, "self.token"),
    "a parameter": ("/a?api_key=hunter2&n=1", "", "", "self.token"),
    "a parameter with a quoted name": ("/a?X-Amz-Signature=hunter2", "", "", "self.token"),
    "a password in a query": ("/a?passwd=hunter2", "", "", "self.account.password"),
    "a web token in a query": (f"/a?state={JWT}", "", "", "self.token"),
    "a web token in a path": (f"/a/{JWT}/b", "", "", "self.token"),
    "a web token of any name": ("/a", f'{{"assertion": "{JWT}"}}', JSON, "self.token"),
    "a pair": ("/a", '[{"name": "password", "value": "hunter2"}]', JSON, "self.account.password"),
    "a query language": ("/a", '{"query": "{a(b:\\"c\\",password:\\"hunter2\\"){t}}"}', JSON, "self.account.password"),
    "text": ("/a", "user=ann password='hunter2'\nAuthorization: Bearer hunter2", "text/plain", "self.token"),
    "parts": ("/a", '--x\r\nA: b; name="password"\r\n\r\nhunter2\r\n--x--', "multipart/form-data", "self.account"),
    "XML": ("/a", "<e><w:Password Type='t'>hunter2</w:Password><Sig>hunter2</Sig></e>", "text/xml", "self.token"),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_no_secret_of_a_recording_is_drafted(place: str) -> None:
    """This holds anywhere in a body or a query; values that are not secrets are unchanged."""
    target, body, kind, words = HIDDEN[place]
    request = Recorded("POST", target)
    if body:
        request.take_body(body, kind)
    text = recorded_scenario.written("x", "X", [request])
    assert [secret for secret in ("hunter2", "40711", JWT[:20]) if secret in text] == []
    assert words in text
    compile(text, "x.py", "exec")
    plain = Recorded("POST", "/a?page=2&sort=name")
    plain.take_body('{"max_tokens": 100, "author": "ann", "token": "", "keep": true, "card": {"n": 1}}', JSON)
    text = recorded_scenario.written("x", "X", [plain])
    assert ("'/a?page=2&sort=name'" in text, "self." in text.replace("self.client", "")) == (True, False)


def test_secrets_in_headers_and_fields_are_not_drafted() -> None:
    """This covers all such names, and the fields of a multipart form; a file is replaced by a few bytes anyway."""
    request = Recorded("POST", "/", {"X-Signature": "hunter2", "X-Data": f"a {JWT}", "X-Jwt": "hunter2"})
    request.fields = [("password", None, "hunter2", "text/plain"), ("pass", "pass.txt", "example", "text/plain")]
    text = recorded_scenario.written("x", "X", [request])
    assert ("hunter2" in text, JWT in text, "('pass', ('pass.txt', 'example'" in text) == (False, False, True)
    assert "self.account.password" in text
    compile(text, "x.py", "exec")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: not JSON"),
        ("{}", "line 1, column 1: it has no log.entries"),
        (json.dumps({"log": {"entries": []}}), "it has no requests of pages or data"),
        (json.dumps({"log": {"entries": [ENTRIES[1]]}}), "it has no requests of pages or data"),
        (json.dumps({"log": {"entries": [ENTRIES[0], {"request": {}}]}}), "entry 2 is not that of a request"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    """The error gives the reason, and nothing is written."""
    (tmp_path / "a.har").write_text(text)
    with pytest.raises(UsageError, match=words):
        har_scenario.draft(tmp_path / "a.har")


def test_a_recording_cannot_write_code(tmp_path: Path) -> None:
    """The content of a recording remains text."""
    attack = '"""\nimport os\nos.system("true")\n{x}\\'
    entries = [
        entry(0, "GET", f"/{attack}?{attack}", {attack: "some-value"}, headers={"x-a": attack}),
        entry(1, "POST", "/b/some-value", {}, body=json.dumps({attack: attack}), kind=attack),
    ]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    text = recorded_scenario.written("x", attack, har_scenario.draft(tmp_path / "a.har").requests)
    assert "\nimport os" not in text
    compile(text, "x.py", "exec")


@pytest.mark.parametrize(("value", "is_noted"), [("v{}-{}-of-an-answer", False), ("shared {}!{} words", True)])
def test_many_values_of_answers_take_little_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, is_noted: bool
) -> None:
    """A few megabytes hold a hundred thousand values; the candidates for each value of a request are bounded."""
    body = '{"note": "shared"}'
    monkeypatch.setattr(har_scenario, "_MAX_COMPARED", 30_000)
    entries = [
        entry(number, "POST", f"/{number}", [value.format(number, one) for one in range(250)], body=body)
        for number in range(300)
    ]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    began_s = time.process_time()
    made = har_scenario.draft(tmp_path / "a.har")
    assert time.process_time() - began_s < 30
    assert (len(made.requests), any("too many to look for" in note for note in made.notes)) == (300, is_noted)

"""The guard of Locust's web UI, attacked on a real master."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtest.exceptions import StackError, UsageError
from loadtest.local.process import ManagedProcess, free_port
from loadtest.web.login import TOKEN_HEADER

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

PASSWORD = "correct horse battery staple"  # noqa: S105
FORGED = "loadtest_session=eyJfdXNlcl9pZCI6Im93bmVyIn0.aaaaaa.bbbbbb"
FORM = {"user_count": "1", "spawn_rate": "1"}
PAGES = ("/", "/stats/requests", "/stats/report", "/exceptions", "/logs", "/tasks", "/worker-count", "/loadtest-result")


@dataclass
class Answer:
    """A response of the web UI."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def sentence(self) -> str:
        """The message of a refusal."""
        message: str = json.loads(self.text)["message"]
        return message


@dataclass
class WebUi:
    """A master's web UI, and the session of its client."""

    port: int
    link_port: int
    cookie: str = ""
    token: str = ""

    def ask(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
        """Send one request with exactly these headers; a header's name has _ for -."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST" and isinstance(body, str):
            given.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if self.cookie:
            given.setdefault("Cookie", self.cookie)
        if self.token:
            given.setdefault(TOKEN_HEADER, self.token)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def start(self, **fields: str) -> Answer:
        """Send the start form."""
        return self.ask("POST", "/swarm", urllib.parse.urlencode({**FORM, **fields}))

    def log_in(self, password: str, **headers: str) -> Answer:
        """Send the login form."""
        return self.ask("POST", "/login", urllib.parse.urlencode({"password": password}), **headers)


def _locust(folder: Path, *words: str, **settings: str) -> ManagedProcess:
    kept = {name: "" for name in os.environ if name.startswith(("LOADTEST_", "LOCUST_"))}
    variables = {
        "LOADTEST_SCENARIO": "health",
        "LOADTEST_HOST": "http://target.example:5000",
        "LOADTEST_EXPORTER_PORT": "0",
        "LOADTEST_RUNS_DIR": str(folder / "runs"),
    }
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "locust" / "locustfile.py"), *words]
    return ManagedProcess("locust", command, folder / f"{words[0]}.log", {**kept, **variables, **settings})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUi]:
    """A web UI with a password, without a session."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "password").write_text(f"{PASSWORD}\n")
    ui = WebUi(free_port(), free_port())
    settings = {"LOADTEST_WEB_PASSWORD_FILE": str(folder / "password"), "LOADTEST_ALLOWED_HOSTS": "*.friends.example"}
    web = ["--web-host", "127.0.0.1", "--web-port", str(ui.port), "--class-picker"]
    link = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(ui.link_port)]
    master = _locust(folder, "--master", *link, *web, **settings)
    try:
        master.wait_until(lambda: _answers(ui), 30)
        yield ui
    finally:
        master.stop()


@pytest.fixture(scope="module")
def owner(guarded: WebUi) -> WebUi:
    """The same web UI, logged in."""
    return _session(guarded)


def _session(guarded: WebUi) -> WebUi:
    answer = guarded.log_in(PASSWORD)
    assert answer.status == 302
    cookie = str(answer.headers["Set-Cookie"]).split(";")[0]
    return WebUi(guarded.port, guarded.link_port, cookie, str(answer.headers[TOKEN_HEADER]))


def _answers(ui: WebUi, path: str = "/login") -> bool:
    try:
        return ui.ask("GET", path).status == 200
    except OSError:
        return False


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_shown_without_a_session(guarded: WebUi, path: str) -> None:
    """A program gets 401 and a message, a browser is sent to the login page, and neither sees anything else."""
    answer = guarded.ask("GET", path)
    assert (answer.status, "this requires a login" in answer.sentence) == (401, True)
    answer = guarded.ask("GET", path, Accept="text/html")
    assert (answer.status, answer.headers["Location"]) == (302, "/login")


@pytest.mark.parametrize("path", ["/swarm", "/stop", "/stats/reset", "/user", "/anything"])
def test_nothing_is_done_without_a_session(guarded: WebUi, path: str) -> None:
    """Changes are refused without a session, even with a forged cookie."""
    assert guarded.ask("POST", path, "").status == 401
    assert guarded.ask("POST", path, "", Cookie=FORGED).status == 401


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(guarded: WebUi, owner: WebUi) -> None:
    """The cookie is HttpOnly and SameSite=Strict, and with its token opens every page."""
    cookie = guarded.log_in(PASSWORD).headers["Set-Cookie"]
    assert cookie.startswith("loadtest_session=")
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert [owner.ask("GET", path).status for path in PAGES] == [200] * len(PAGES)


def test_a_stolen_cookie_changes_nothing(guarded: WebUi) -> None:
    """Browsers send the cookie to the service under test as well; without the token it can start and stop nothing."""
    whole = _session(guarded)
    for token in ("", "guessed", "\xe9"):
        thief = WebUi(guarded.port, guarded.link_port, whole.cookie, token)
        for path in ("/swarm", "/stop", "/stats/reset", "/user", "/logout"):
            answer = thief.ask("POST", path, "")
            assert (answer.status, "more than a cookie" in answer.sentence) == (401, True)
    assert whole.start().status == 409
    other = WebUi(guarded.port, guarded.link_port, _session(guarded).cookie, whole.token)
    assert other.start().status == 401


@pytest.mark.parametrize("path", (*PAGES, "/stats/requests/csv", "/exceptions/csv"))
def test_a_stolen_cookie_reads_nothing(guarded: WebUi, owner: WebUi, path: str) -> None:
    """Without the token a program gets 401, and an apparent browser a page without content."""
    thief = WebUi(guarded.port, guarded.link_port, owner.cookie)
    assert thief.ask("GET", path).status == 401
    page = thief.ask("GET", path, Accept="text/html")
    assert (page.status, re.sub(r"<[^>]*>", "", page.text)) == (200, "Locust")
    assert owner.ask("GET", path, Accept="text/html").text != page.text


def test_logging_out_ends_the_session(guarded: WebUi) -> None:
    """Copies of cookie and token are worthless after a logout."""
    session = _session(guarded)
    assert session.ask("GET", "/stats/requests").status == 200
    assert session.ask("POST", "/logout", "").status == 204
    assert session.ask("GET", "/stats/requests").status == 401
    assert session.start().status == 401


SITES = {
    "a foreign page": ({"Origin": "https://evil.example"}, 403),
    "a sandboxed page": ({"Origin": "null"}, 403),
    "a page of no address": ({"Origin": "http://["}, 403),
    "a page with a path": ({"Origin": "http://127.0.0.1:{port}/x"}, 403),
    "this host at another port": ({"Origin": "http://127.0.0.1:1"}, 403),
    "this host by another scheme": ({"Origin": "https://127.0.0.1:{port}"}, 403),
    "a foreign page without Origin": ({"Sec_Fetch_Site": "cross-site"}, 403),
    "a sister domain's page": ({"Sec_Fetch_Site": "same-site"}, 403),
    "a rebound name": ({"Host": "evil.example:{port}"}, 421),
    "a rebound name with its Origin": ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    "a name that begins like ours": ({"Host": "localhost.evil.example"}, 421),
    "a Host with credentials": ({"Host": "127.0.0.1@evil.example"}, 421),
    "its own page": ({"Origin": "http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}, 409),
    "its own page by name": ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 409),
    "a name that only this machine has": ({"Host": "loadtest.localhost:{port}"}, 409),
    "a program": ({}, 409),
}


@pytest.mark.parametrize("case", SITES)
def test_a_start_comes_from_the_own_page_only(owner: WebUi, case: str) -> None:
    """A start with the owner's cookie is refused when another site sends it; 409 only says that a worker is missing."""
    headers, status = SITES[case]
    answer = owner.ask(
        "POST", "/swarm", urllib.parse.urlencode(FORM), **{k: v.format(port=owner.port) for k, v in headers.items()}
    )
    assert answer.status == status, answer.text
    assert all(part in answer.sentence for part in ("Allowed: ", "Next: "))


WRONG = {
    "too many users": ({"user_count": "5000000"}, 400, "from 1 to 50000"),
    "no users": ({"user_count": "0"}, 400, "user count '0'"),
    "no number of users": ({"user_count": "NaN"}, 400, "user count 'NaN'"),
    "negative users": ({"user_count": "-1"}, 400, "user count '-1'"),
    "endless spawn rate": ({"spawn_rate": "inf"}, 400, "spawn rate 'inf'"),
    "spawn rate of nothing": ({"spawn_rate": "0"}, 400, "spawn rate '0'"),
    "too long": ({"run_time": "9999h"}, 400, "run time '9999h'"),
    "a file": ({"host": "file:///etc/passwd"}, 403, "not a base URL"),
    "a foreign host": ({"host": "https://bank.example"}, 403, "LOADTEST_ALLOWED_HOSTS"),
    "a foreign host behind credentials": ({"host": "http://127.0.0.1@bank.example"}, 403, "not a base URL"),
    "a foreign host behind a backslash": ({"host": "http://bank.example\\@127.0.0.1/"}, 403, "not a base URL"),
    "the clouds' metadata": ({"host": "http://169.254.169.254/latest"}, 403, "must not be loaded"),
    "an option of Locust": ({"html_file": "/tmp/owned"}, 400, "'html_file' is not a field"),  # noqa: S108
    "another option of Locust": ({"web_login": "false"}, 400, "'web_login' is not a field"),
    "an unknown User class": ({"user_classes": "Nobody"}, 400, "user classes 'Nobody'"),
    "an unknown shape": ({"shape_class": "Nothing"}, 400, "shape class 'Nothing'"),
    "a very long text": ({"thresholds": "p99 < 1s," * 1000}, 400, "thresholds is too long"),
    "a flood": ({"thresholds": "x" * 300_000}, 413, "up to 262144 bytes"),
    "an unknown profile": ({"load_profile": "nightmare"}, 400, "nightmare"),
    "a misspelt field": (
        {"threshold": "p99 < 1s"},
        400,
        "'threshold' is not a field of this form. Allowed: arrival_rate",
    ),
    "a misspelt field's right name": ({"threshold": "p99 < 1s"}, 400, "did you mean thresholds?"),
    "a field without a name": ({"": "p99 < 1s"}, 400, "'' is not a field"),
    "Locust's label": ({"profile": "quick"}, 400, "did you mean load_profile?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_start_is_refused_with_a_sentence(owner: WebUi, case: str) -> None:
    """A wrong field gives a 4xx that says what is allowed, and the configured host stays."""
    fields, status, words = WRONG[case]
    answer = owner.start(**fields)
    assert (answer.status, words in answer.sentence) == (status, True), answer.text
    assert "target.example" in owner.ask("GET", "/").text


_FIELDS = "user_count=1&spawn_rate=1"
_JSON = {"Content_Type": "application/json"}
_PARTS = {"Content_Type": "multipart/form-data; boundary=x"}
_PART = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
_FILE = _PART.format("thresholds", '; filename="rules.txt"', "p99 < 1s")
IGNORED = {
    "a field twice": ("", f"{_FIELDS}&thresholds=&thresholds=p99+<+1s", {}, "thresholds is given 2 times"),
    "a number twice": ("", f"{_FIELDS}&user_count=50", {}, "user_count is given 2 times"),
    "a field in the address": ("?thresholds=p99+<+1s", _FIELDS, {}, "'thresholds' is in the address"),
    "fields as JSON": ("", json.dumps(FORM | {"thresholds": "p99 < 1s"}), _JSON, "'application/json' is not read"),
    "a file": ("", f"--x\r\n{_FILE}--x--\r\n", _PARTS, "'thresholds' is in a file"),
}


@pytest.mark.parametrize("case", IGNORED)
def test_a_start_has_nothing_that_would_be_ignored(owner: WebUi, case: str) -> None:
    """Locust would ignore it, for example a rule that was meant to be judged, and start."""
    address, body, headers, words = IGNORED[case]
    answer = owner.ask("POST", f"/swarm{address}", body, **headers)
    assert (answer.status, words in answer.sentence) == (400, True), answer.text
    assert owner.ask("POST", "/swarm", f"{_FIELDS}&user_classes=HealthUser&user_classes=HealthUser").status == 409


def test_everything_wrong_with_a_start_is_said_at_once(owner: WebUi) -> None:
    """One response names all errors in Locust's own fields, the host and this product's fields, each once."""
    wrong = {"user_count": "0", "host": "https://bank.example", "run_time": "9999h", "arrival_rate": "fast"}
    answer = owner.start(**wrong, load_profile="nightmare", thresholds="p99 < soon")
    assert answer.status == 400
    for words in ("user count '0'", "bank.example", "run time '9999h'", "rate 'fast'", "nightmare", "p99 < soon"):
        assert answer.sentence.count(words) == 1, answer.sentence


@pytest.mark.parametrize("host", ["http://target.example:8000", "http://localhost:8000", "https://api.friends.example"])
def test_an_allowed_host_is_taken(owner: WebUi, host: str) -> None:
    """The configured service, this machine and the hosts in LOADTEST_ALLOWED_HOSTS pass; only a worker is missing."""
    assert owner.start(host=host).status == 409


CHANGES = {
    "an attribute of the class": {"user_class_name": "HealthUser", "__init__": "x"},
    "a foreign host": {"user_class_name": "HealthUser", "host": "http://bank.example"},
    "a weight that is no number": {"user_class_name": "HealthUser", "weight": "many"},
    "an unknown class": {"user_class_name": "Nobody"},
    "a host that is a list": {"user_class_name": "HealthUser", "host": []},
    "a class that is a list": {"user_class_name": []},
    "no object": [],
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_wrong_change_of_a_user_class_is_refused(owner: WebUi, case: str) -> None:
    """Only the class picker's own fields change a User class, within limits."""
    answer = owner.ask("POST", "/user", json.dumps(CHANGES[case]))
    assert answer.status == (403 if case == "a foreign host" else 400), answer.text
    assert owner.ask("POST", "/user", '{"user_class_name": "HealthUser", "weight": 2}').status == 201


def test_a_change_of_a_class_keeps_the_password_of_its_host(tmp_path: Path) -> None:
    """The class picker shows the host without it, and submits the host as shown with every change."""
    ui = WebUi(free_port(), free_port())
    web = ["--web-host", "127.0.0.1", "--web-port", str(ui.port), "--class-picker"]
    link = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(ui.link_port)]
    host = {"LOADTEST_SCENARIO": "key_value", "LOADTEST_HOST": "redis://ann:hunter2@target.example:6379/0"}
    master = _locust(tmp_path, "--master", *link, *web, **host)
    try:
        master.wait_until(lambda: _answers(ui, "/"), 30)
        page = ui.ask("GET", "/").text
        shown = re.findall(r"redis://[^\"\s]*@target\.example:6379/0", page)
        assert (bool(shown), "hunter2" in page) == (True, False)
        for host, status in ((shown[0], 201), (shown[0], 201), ("redis://***@bank.example", 403)):
            change = json.dumps({"user_class_name": "KeyValueUser", "host": host, "weight": 2})
            assert ui.ask("POST", "/user", change, Content_Type="application/json").status == status
        assert ui.ask("GET", "/").text.count(shown[0]) == page.count(shown[0])
    finally:
        master.stop()


@pytest.mark.parametrize("body", ["[" * 100_000, "9" * 100_000, "\xff", ""])
def test_what_is_no_json_is_no_change(owner: WebUi, body: str) -> None:
    """It is refused however deep or long it is."""
    assert owner.ask("POST", "/user", body.encode("latin-1")).status == 400


@pytest.mark.parametrize("path", ["/", "/login", "/assets/nothing.js", "/nothing", "/stats/requests"])
def test_every_answer_has_security_headers(owner: WebUi, path: str) -> None:
    """Pages, data and errors forbid framing, sniffing and cross-origin reads, and have a policy for scripts."""
    answer = owner.ask("GET", path, Origin="https://evil.example")
    policy = answer.headers["Content-Security-Policy"]
    assert (answer.headers["X-Content-Type-Options"], answer.headers["X-Frame-Options"]) == ("nosniff", "DENY")
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert re.findall(r"(?i)werkzeug|traceback", answer.text) == []


@pytest.fixture
def with_worker(owner: WebUi, tmp_path: Path) -> Iterator[WebUi]:
    """The web UI with a worker, because Locust's page disables Start without one."""
    worker = _locust(tmp_path, "--worker", "--master-host", "127.0.0.1", "--master-port", str(owner.link_port))
    try:
        worker.wait_until(lambda: json.loads(owner.ask("GET", "/worker-count").text)["worker_count"] == 1, 90)
        yield owner
    finally:
        worker.stop()


def test_a_page_for_people(with_worker: WebUi) -> None:
    """In a browser the login works, a refused start shows its sentence, and no script breaks on the policy.

    What another page sent is in the log, which the page without content shows as text.
    """
    assert with_worker.ask("POST", "/swarm", "", Origin="<i id=injected>x</i>").status == 403
    command = [sys.executable, str(Path(__file__).with_name("web_ui_browser.py"))]
    visit = [*command, "visit", f"http://127.0.0.1:{with_worker.port}", PASSWORD]
    done = subprocess.run(visit, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["asked_at"].endswith("/login")
    assert seen["wrong"] == "Wrong password."
    assert "user count '5000000' is not allowed" in seen["refused"]
    assert "Locust Test Report" in seen["report"]
    assert seen["tags"] == 0
    assert seen["table"].startswith("Type,Name,Request Count")
    assert seen["logged_out_at"].endswith("/login")
    expected = ["401", "400"]  # the browser's log entry for every refused request
    assert len(seen["complaints"]) == len(expected), seen["complaints"]
    assert all(status in complaint for status, complaint in zip(expected, seen["complaints"], strict=True))


def test_passwords_cannot_be_tried_for_long(guarded: WebUi) -> None:
    """After five wrong passwords in a minute even the right one has to wait; a logged-in user is not affected."""
    statuses = [guarded.log_in(f"guess number {number}").status for number in range(6)]
    assert statuses[-1] == 429
    answer = guarded.log_in(PASSWORD)
    assert (answer.status, 0 < int(answer.headers["Retry-After"]) <= 61) == (429, True)


def test_no_start_beyond_this_machine_without_a_password(tmp_path: Path) -> None:
    """A web UI that other machines could reach does not start: exit code 2 and a message."""
    link = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(free_port())]
    master = _locust(tmp_path, "--master", *link, "--web-port", str(free_port()))
    with contextlib.suppress(StackError, UsageError):  # it ends before it is ready, as intended
        master.wait_until(lambda: False, 30)
    assert master.exit_code == 2
    log = master.log.read_text()
    assert "the web UI would listen on every address without a password" in log
    assert all(part in log for part in ("Allowed: --web-host 127.0.0.1", "Next: "))

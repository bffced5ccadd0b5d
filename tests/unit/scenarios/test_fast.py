"""Stock User classes on this product's client: which are moved, without a change for their file."""

import contextlib
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from gevent.pywsgi import WSGIServer
from locust import FastHttpUser, HttpUser

from loadtest import scenarios
from loadtest.clients.http import HttpUser as Ours
from tests.journeys import run_each_task_once

HEAD = """
import importlib
import requests
from requests.auth import HTTPBasicAuth
from locust import FastHttpUser, HttpUser, TaskSet, events, tag, task
"""
USER = """
class Visitor({base}):
    @task
    def visit(self):
        {body}
"""
USED = {
    "plain": (
        "self.client.get('/a?x=1&y=ä')",
        "self.client.get('/b', params={'q': 'one two', 'n': [1, 2]})",
        "self.client.get('/c', name='named', params={'q': 1})",
        "self.client.post('/form', {'a': '1', 'b': 'ü'})",
        "self.client.post('/json', json={'a': [1, None, 'ü']}, headers={'X-A': 'b'})",
        "self.client.put('/put', data='text', headers={'Content-Type': 'text/csv'})",
        "self.client.patch('/patch', json=[])",
        "self.client.delete('/del')",
        "self.client.head('/moved')",
        "self.client.options('/opt')",
        "self.client.request('POST', '/req', 'as this', json=1)",
        "self.client.get('/moved')",
        "self.client.get('/moved', allow_redirects=False)",
        "self.client.get('/status/404')",
        "self.client.get('/status/500', name='broken')",
        "self.client.get('/auth', auth=('me', 'pw'))",
    ),
    "session": (
        "self.client.headers.update({'X-Token': 't', 'Accept': 'text/plain'}); self.client.get('/h')",
        "self.client.headers['X-T'] = 't'; del self.client.headers['x-t']; self.client.get('/h2')",
        "self.client.headers = {'X-Only': '1'}; self.client.get('/h3')",
        "self.client.headers['X-One'] = '1'; self.client.headers['x-one'] == '1' or 1 / 0; self.client.get('/h4')",
        "self.client.auth = ('me', 'pw'); self.client.get('/auth'); self.client.auth = None; self.client.get('/auth2')",
        "self.client.trust_env = False; self.client.verify = False; self.client.get('/v')",
        "self.client.get('/set'); self.client.cookies.get('c') == '1' or 1 / 0; self.client.get('/cookie')",
        "self.client.get('/set'); self.client.cookies.clear(); self.client.get('/none')",
        "self.client.get('/set').cookies['c'] == '1' or 1 / 0",
        "self.client.cookies['d'] = '2'; self.client.get('/cookie')",
    ),
    "response": (
        "r = self.client.get('/a'); r.ok and r.status_code == 200 and r.json()['path'] == '/a' or 1 / 0",
        "r = self.client.get('/a'); 'path' in r.text and len(r.content) > 4 or 1 / 0",
        "r = self.client.get('http://127.0.0.1:9/dead'); (r.status_code, r.text, r.content) == (0, '', None) or 1 / 0",
        "r = self.client.get('/moved'); r.url.endswith('/there') and len(r.history) == 1 or 1 / 0",
        "r = self.client.get('/a'); r.headers['CONTENT-TYPE'] == 'application/json' or 1 / 0; r.raise_for_status()",
        "r = self.client.get('/a'); r.elapsed.total_seconds() < 60 and r.request.method == 'GET' and r.reason or 1 / 0",
    ),
    "caught": (
        "with self.client.get('/a', catch_response=True) as r: r.failure('no')",
        "with self.client.get('/status/404', catch_response=True) as r: r.success()",
        "with self.client.get('/status/404', catch_response=True) as r: r.status_code",
        "with self.rest('POST', '/rest', json={'a': 1}) as r: assert r.js['path'] == '/other', 'wrong'",
        "with self.rest_('GET', '/fresh') as r: r.js['path']",
        "with self.client.rename_request('group'): self.client.get('/1'); self.client.get('/2', name='own')",
    ),
}
"""What locustfiles do with an HttpUser."""


class Service:
    """A server that returns the request it received."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.seen: list[tuple[Any, ...]] = []
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path, body = environ["PATH_INFO"], environ["wsgi.input"].read()
        with contextlib.suppress(ValueError):
            body = json.loads(body)
        own = {name: value for name, value in environ.items() if name.startswith("HTTP_X_")}
        credentials = environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_COOKIE"), environ.get("HTTP_ACCEPT")
        if not isinstance(body, bytes):
            credentials = credentials[:2]  # ours asks for JSON where JSON is sent
        query = "" if path == "/fresh" else environ["QUERY_STRING"]
        self.seen.append((environ["REQUEST_METHOD"], path, query, body, own, credentials))
        status = f"{path.rpartition('/')[2]} Said" if path.startswith("/status/") else "200 OK"
        more = {"/moved": [("Location", "/there")], "/set": [("Set-Cookie", "c=1; Path=/")]}.get(path, [])
        start_response("302 Found" if path == "/moved" else status, [("Content-Type", "application/json"), *more])
        return [json.dumps({"path": path}).encode()] if environ["REQUEST_METHOD"] != "HEAD" else [b""]

    def close(self) -> None:
        """End it."""
        self._server.stop(timeout=0)


@pytest.fixture
def service() -> Iterator[Service]:
    """A server that returns the request it received."""
    service = Service()
    yield service
    service.close()


def file_of(folder: Path, base: str, body: str, more: str = "") -> str:
    """Write a locustfile and return its path."""
    path = folder / f"locustfile_{os.urandom(4).hex()}.py"
    path.write_text(HEAD + more + USER.format(base=base, body=body.replace("\n", "\n        ")), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("base", "kind"), [*(("HttpUser", kind) for kind in USED), ("FastHttpUser", "plain"), ("FastHttpUser", "caught")]
)
def test_nothing_changes_for_what_locustfiles_do(tmp_path: Path, service: Service, base: str, kind: str) -> None:
    """The service receives the same requests, and the same names and outcomes are counted."""
    for body in USED[kind]:
        path = file_of(tmp_path, base, body)
        results = []
        for fast in (False, True):
            scenario = scenarios.load(path, fast=fast)
            assert scenario.notes == (("fast: Visitor on this product's HTTP client",) if fast else ()), body
            service.seen.clear()
            requests = run_each_task_once(scenario.user_classes[0], service.url)
            counted = [(each.method, each.name, each.error is None) for each in requests]
            results.append((counted, list(service.seen)))
        assert results[0] == results[1], body
        assert results[0][0], body


@pytest.mark.parametrize(
    ("base", "body", "what"),
    [
        ("HttpUser", "self.client.get('/').raw.read()", "raw of a response"),
        ("HttpUser", "r = self.client.get('/')\nfor line in r.iter_lines(): pass", "iter_lines of a response"),
        ("HttpUser", "answer = self.client.get('/')\nanswer.links", "links of a response"),
        ("HttpUser", "self.client.get('/', stream=True)", "get() with stream"),
        ("HttpUser", "self.client.get('/', cookies={'a': 'b'})", "get() with cookies"),
        ("HttpUser", "self.client.get('/', proxies={})", "get() with proxies"),
        ("HttpUser", "options = {}\nself.client.get('/', **options)", "get() with arguments that are not in sight"),
        ("HttpUser", "self.client.get('/', auth=HTTPBasicAuth('a', 'b'))", "get() with auth other than a pair"),
        ("HttpUser", "self.client.auth = HTTPBasicAuth('a', 'b')", "client.auth = HTTPBasicAuth('a', 'b')"),
        ("HttpUser", "self.client.verify = 'ca.pem'", "client.verify = 'ca.pem'"),
        ("HttpUser", "self.client.get('/').json(parse_float=str)", "json() with arguments"),
        ("HttpUser", "self.client.mount('http://', None)", "client.mount"),
        ("HttpUser", "http = self.client\nhttp.proxies = {}", "client.proxies"),
        ("HttpUser", "self.client = None", "a client of its own"),
        ("HttpUser", "getattr(self.client, 'get' + '')('/')", "getattr() of a client or a response"),
        ("HttpUser", "for c in self.client.cookies: c.domain", "cookies as a whole"),
        ("HttpUser", "self.client.cookies.get_dict()", "cookies as a whole"),
        ("HttpUser", "HttpUser.__init__(self, self.environment)", "HttpUser as a value"),
        ("HttpUser", "isinstance(self.client.get('/'), requests.Response)", "asks for requests.Response"),
        ("HttpUser", "import no_such_module_yet", "imports no_such_module_yet later"),
        (
            "HttpUser",
            "try: self.client.get('/').raise_for_status()\nexcept requests.HTTPError: pass",
            "catches requests.HTTPError",
        ),
        ("FastHttpUser", "self.client.get('/').data", "data of a response"),
        ("FastHttpUser", "self.client.client.clientpool", "client.client"),
        ("FastHttpUser", "self.client.get('/', max_retries=1)", "get() with max_retries"),
    ],
)
def test_a_class_that_needs_its_own_client_stays(tmp_path: Path, base: str, body: str, what: str) -> None:
    """The sentence names file and line, and the class is unchanged."""
    path = file_of(tmp_path, base, body)
    scenario = scenarios.load(path, fast=True)
    line = Path(path).read_text().partition("def visit")[0].count("\n") + 2
    first = "fast: no User class on this product's HTTP client"
    reasons = [f"Visitor stays on Locust's {base}: {path}, line {number}: {what}" for number in (line, line + 1)]
    assert scenario.notes[0] == first
    assert scenario.notes[1:] in [(reason,) for reason in reasons]
    assert issubclass(scenario.user_classes[0], {"HttpUser": HttpUser, "FastHttpUser": FastHttpUser}[base])


@pytest.mark.parametrize(
    "body",
    [
        "data = open(__file__)\ndata.read()\nself.data = 1\nself.data",
        "try: requests.get('http://127.0.0.1:9')\nexcept requests.RequestException: pass",
        "import random\nself.headers = {'a': 'b'}\nself.client.get('/', headers=self.headers)",
    ],
)
def test_what_only_looks_alike_ties_no_class(tmp_path: Path, body: str) -> None:
    """Examples are files, direct use of the library requests, and attributes of the user."""
    for base in ("HttpUser", "FastHttpUser"):
        assert len(scenarios.load(file_of(tmp_path, base, body), fast=True).notes) == 1


def test_the_modules_that_a_file_imports_are_read_too(tmp_path: Path) -> None:
    """The module is a TaskSet in the file's folder, with its own imports."""
    (tmp_path / "fast_steps.py").write_text(
        "from locust import TaskSet, task\nfrom fast_help import look\n"
        "class Steps(TaskSet):\n    @task\n    def step(self):\n        look(self.client.get('/'))\n"
    )
    (tmp_path / "fast_help.py").write_text("def look(response):\n    return response.apparent_encoding\n")
    (tmp_path / "uses.py").write_text(
        "from locust import HttpUser\nfrom fast_steps import Steps\nclass Far(HttpUser):\n    tasks = [Steps]\n"
    )
    notes = scenarios.load(str(tmp_path / "uses.py"), fast=True).notes
    expected = f"Far stays on Locust's HttpUser: {tmp_path}/fast_help.py, line 2: apparent_encoding of a response"
    assert notes[1:] == (expected,)


def test_a_base_that_two_classes_share_moves_for_both_or_for_none(tmp_path: Path) -> None:
    """One of them has an attribute that would have no effect."""
    more = "class Base(FastHttpUser):\n    abstract = True\nclass Kept(Base):\n    max_retries = 3\n"
    scenario = scenarios.load(file_of(tmp_path, "Base", "self.client.get('/')", more), fast=True)
    reasons = dict(note.split(" stays on Locust's FastHttpUser: ") for note in scenario.notes[1:])
    assert reasons["Visitor"] == "so does another class that is made of Base"
    assert reasons["Kept"].startswith("Kept.max_retries = 3 has no effect here")
    assert [issubclass(kind, Ours) for kind in scenario.user_classes] == [False, False]


def test_test_functions_stay(tmp_path: Path) -> None:
    """Their client is a fixture of Locust."""
    (tmp_path / "test_of_fast.py").write_text("def test_home(session):\n    session.get('/')\n")
    notes = scenarios.load(str(tmp_path / "test_of_fast.py"), fast=True).notes
    assert notes[1:] == ("test_home stays on Locust's PytestUser: it is a test function",)


def _say_ok(begin: Any) -> list[bytes]:
    begin("200 OK", [])
    return [b""]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(
    ("base", "body", "failures"),
    [
        ("HttpUser", "self.client.get('/')", 1),
        ("FastHttpUser", "self.client.get('/')", 0),
        ("HttpUser", "self.client.get('/', verify=False)", 0),
        ("HttpUser", "self.client.verify = False\nself.client.get('/')", 0),
        ("HttpUser", "self.client.get('/', verify=False)\nself.client.post('/')", 1),
    ],
)
def test_certificates_are_verified_as_before(tmp_path: Path, base: str, body: str, failures: int) -> None:
    """A FastHttpUser does not, and an HttpUser does unless each call disables it; a mixed one is not converted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = WSGIServer(("127.0.0.1", 0), lambda _, begin: _say_ok(begin), log=None, ssl_context=context)
    server.start()
    for fast in (False, True):
        scenario = scenarios.load(file_of(tmp_path, base, body), fast=fast)
        requests = run_each_task_once(scenario.user_classes[0], f"https://127.0.0.1:{server.server_port}")
        assert sum(each.error is not None for each in requests) == failures, [each.error for each in requests]
    server.stop(timeout=0)


def test_what_has_no_effect_is_refused_where_reading_misses_it(tmp_path: Path, service: Service) -> None:
    """The attribute is set through another name."""
    body = "box = [self.client]\nbox[0].proxies = {}"
    scenario = scenarios.load(file_of(tmp_path, "HttpUser", body), fast=True)
    with pytest.raises(AttributeError, match="proxies has no effect with --fast"):
        run_each_task_once(scenario.user_classes[0], service.url)

"""HttpUser against common servers: nginx and Gunicorn; counts are exactly equal to nginx's own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
import trustme
from gevent import socket
from locust import constant, events, task
from locust.env import Environment

from loadtest.clients.http import HttpUser
from loadtest.local.process import free_port
from loadtest.measuring.recorder import Recorder
from tests.http_harness import counted, counts, error_classes, running_user
from tests.link_peers import eventually

SMALL = '{"id":1,"name":"small document","value":3.14159,"tags":["a","b","c"]}'

NGINX = """
{user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {folder}/access.log; keepalive_requests {keepalive_requests}; keepalive_timeout {keepalive_timeout};
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type application/octet-stream;
  gzip on; gzip_types application/json; gzip_min_length 0;
  server {{
    listen 127.0.0.1:{port}; listen [::1]:{port}; listen unix:{folder}/socket;
    listen 127.0.0.1:{tls_port} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    root {folder}/root;
    location = /small {{ default_type application/json; return 200 '{small}'; }}
    location = /204 {{ return 204; }}
    location = /301 {{ return 301 /small; }}
    location = /secret {{ auth_basic "x"; auth_basic_user_file {folder}/users; try_files /file =404; }}
    location = /cookie {{ add_header Set-Cookie "a=b; Path=/"; return 200 "$http_cookie"; }}
    location = /limited {{ client_max_body_size 1k; proxy_pass http://127.0.0.1:{port}/small; }}
    location = /status {{ access_log off; stub_status; }}
  }}
}}
"""

APPLICATION = '''
import time
def application(environ, start_response):
    """Echoes a body, streams chunks, sleeps."""
    path = environ["PATH_INFO"]
    if path == "/chunks":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"chunk %d\\n" % number for number in range(100))
    if path == "/slow":
        time.sleep(0.5)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
'''


@contextmanager
def process(command: list[str], port: int, folder: Path) -> Iterator[subprocess.Popen]:
    """A server process that listens on a port."""
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                gevent.sleep(0.05)
        yield server
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)


class Nginx:
    """A running nginx."""

    def __init__(self, folder: Path, port: int, tls_port: int, authority: trustme.CA) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.tls_port = tls_port
        self.authority = authority

    def requests(self) -> int:
        """Requests that nginx has counted so far, this one included."""
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            answer = b""
            while received := sock.recv(4096):
                answer += received
        return int(answer.split(b"requests")[1].split()[2])


@contextmanager
def running_nginx(folder: Path, **settings: object) -> Iterator[Nginx]:
    """A private nginx."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    port, tls_port = free_port(), free_port()
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "users").write_text("ada:{PLAIN}lovelace\n")
    (folder / "root").mkdir()
    (folder / "root" / "file").write_bytes(bytes(range(256)) * 4096)
    user = "user root;" if os.getuid() == 0 else ""  # its workers read a folder that only this user can access
    values = {"user": user, "keepalive_requests": 1_000_000, "keepalive_timeout": "60s", **settings}
    text = NGINX.format(folder=folder, port=port, tls_port=tls_port, small=SMALL, **values)
    (folder / "nginx.conf").write_text(text)
    folder.chmod(0o755)
    with process([binary, "-c", str(folder / "nginx.conf"), "-p", str(folder)], port, folder):
        yield Nginx(folder, port, tls_port, authority)


@pytest.fixture
def nginx(tmp_path):
    """An nginx with usual settings."""
    with running_nginx(tmp_path) as server:
        yield server


@pytest.fixture
def gunicorn(tmp_path):
    """The base URL of a Gunicorn with one threaded worker that keeps connections."""
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", "4"]
    with process([*command, "--keep-alive", "1", "application:application"], port, tmp_path):
        yield f"http://127.0.0.1:{port}"


def test_nginx_serves_every_kind_of_response(nginx):
    """Small, empty, large, compressed, redirected, authenticated and missing documents arrive as nginx sends them."""
    file = bytes(range(256)) * 4096
    with running_user(nginx.url) as user:
        get = user.client.get
        assert get("/small").text == SMALL
        assert get("/small").headers["content-encoding"] == "gzip"
        assert get("/small", headers={"Accept-Encoding": "identity"}).text == SMALL
        assert get("/204").content == b""
        assert file == get("/file").content
        assert file[:10] == get("/file", headers={"Range": "bytes=0-9"}).content
        assert file == b"".join(get("/file", stream=True).iter_content(5000, decode_content=False))
        assert str(len(file)) == user.client.head("/file").headers["content-length"]
        redirected = get("/301")
        assert (redirected.text, redirected.history[0].status_code) == (SMALL, 301)
        assert file == get("/secret", auth=("ada", "lovelace")).content
        assert get("/cookie").text == ""
        assert get("/cookie").text == "a=b"
        etag = get("/file").headers["etag"]
        assert get("/file", headers={"If-None-Match": etag}).status_code == 304
        assert counts(user)[1] == 0
        assert (get("/secret").status_code, get("/none").status_code) == (401, 404)
        assert user.client.post("/limited", data=b"x" * 2_000_000).status_code == 413
        assert error_classes(user) == {"status_4xx": 3}


def test_nginx_over_ipv6_unix_socket_and_tls(nginx):
    """The same document arrives over every kind of socket that nginx listens on."""
    unix = f"http+unix://{str(nginx.folder).replace('/', '%2F')}%2Fsocket"

    def trusting():
        import ssl  # noqa: PLC0415

        context = ssl.create_default_context()
        nginx.authority.configure_trust(context)
        return context

    hosts = [nginx.url, f"http://[::1]:{nginx.port}", f"http://localhost:{nginx.port}", unix]
    for host in [*hosts, f"https://localhost:{nginx.tls_port}"]:
        with running_user(host, ssl_context_factory=trusting) as user:
            assert [user.client.get("/small").text for _ in range(3)] == [SMALL] * 3
            assert counts(user) == (3, 0)
    with running_user(f"https://localhost:{nginx.tls_port}") as user:
        assert user.client.get("/small").error.error_class == "tls"


def test_counts_agree_with_nginx_exactly(nginx):
    """Users, recorder and nginx count the same number, through every stop."""
    calls = 0

    class Reader(HttpUser):
        host = nginx.url
        wait_time = constant(0)

        @task
        def read(self):
            nonlocal calls
            response = self.client.get("/small")
            calls += response.ok

    environment = Environment(user_classes=[Reader], stop_timeout=10)
    recorder = Recorder.of(environment)
    before = nginx.requests()
    runner = environment.create_local_runner()
    recorded = failures = 0
    for users in (20, 50, 5):
        runner.start(users, spawn_rate=100)
        gevent.sleep(0.5)
        taken = counted(recorder)
        recorded += int(sum(taken.requests))
        failures += int(sum(taken.failures))
        if users == 50:
            runner.stop()
    runner.quit()
    taken = counted(recorder)
    recorded += int(sum(taken.requests))
    served = nginx.requests() - before - 1
    assert served > 200
    assert (served, served, 0) == (recorded, calls, failures)


def test_listeners_hear_exactly_what_nginx_served(nginx):
    """With a listener registered, every request is counted once and reported to it once."""
    heard = 0

    class Reader(HttpUser):
        host = nginx.url

        @task
        def read(self):
            self.client.get("/small", name="x")

    environment = Environment(user_classes=[Reader], stop_timeout=10, events=events)

    def listen(**_):
        nonlocal heard
        heard += 1

    environment.events.request.add_listener(listen)
    recorder = Recorder.of(environment)
    before = nginx.requests()
    runner = environment.create_local_runner()
    runner.start(10, spawn_rate=100)
    eventually(lambda: heard > 100)
    runner.quit()
    served = nginx.requests() - before - 1
    assert int(sum(counted(recorder).requests)) == heard == served


def test_connections_that_nginx_closes_are_replaced_without_an_error(tmp_path):
    """nginx ends a connection after ten requests or a short idle time; no request fails, none is sent twice."""
    with (
        running_nginx(tmp_path, keepalive_requests=10, keepalive_timeout="1s") as nginx,
        running_user(nginx.url) as user,
    ):
        before = nginx.requests()
        for _ in range(55):
            assert user.client.post("/204").ok
        user.recorder.take()
        gevent.sleep(1.5)
        for method in ("POST", "GET"):
            user.client.request(method, "/204")
            gevent.sleep(1.3)
        assert nginx.requests() - before - 1 == 55 + 2
        assert counts(user) == (2, 0)


def test_gunicorn_echoes_uploads_and_streams_chunks(gunicorn):
    """Bodies of every kind arrive whole at Gunicorn, and chunked responses arrive whole here."""
    large = os.urandom(3_000_000)
    with running_user(gunicorn) as user:
        assert large == user.client.post("/", data=large).content
        assert user.client.post("/", data=(large[at : at + 50_000] for at in range(0, len(large), 50_000))).ok
        assert user.client.put("/", json={"a": 1}).json() == {"a": 1}
        assert user.client.post("/").content == b""
        lines = list(user.client.iter_lines("/chunks"))
        assert (len(lines), lines[-1]) == (100, "chunk 99")
        assert lines == user.client.get("/chunks").text.splitlines()
        assert user.client.get("/slow", timeout=0.1).error.error_class == "timeout_read"
        assert counts(user)[1] == 1


def test_gunicorn_that_restarts_is_found_again(gunicorn):
    """An idle connection that Gunicorn closed after its keep-alive time is replaced without an error."""
    with running_user(gunicorn) as user:
        for pause_s in (0, 0.1, 2.5, 0):
            gevent.sleep(pause_s)
            assert user.client.post("/", data=b"x").content == b"x"
        assert counts(user) == (4, 0)

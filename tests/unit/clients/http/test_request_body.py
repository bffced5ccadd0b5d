"""Request bodies: data, JSON, files and iterables."""

import json
import re

import pytest
import requests

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.http.request_body import encode_body
from tests.http_harness import Peer, ScriptedServer, always, error_classes, ok, running_user

KEPT = ok(b'{"a":1}', "Content-Type: application/json")


def test_bodies_are_encoded_by_kind():
    """json, forms, pairs, strings and bytes arrive correctly, with the right Content-Type."""
    seen = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request())[0]:
            seen.append(request)
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.post("/", json={"ä": [1, 2.5, None]})
        user.client.post("/", data={"a": ["1", "2"], "b": "x y"})
        user.client.put("/", data=[("a", "1"), ("a", "2")])
        user.client.patch("/", data="ü")
        user.client.post("/", data=b"\x00\xff")
        user.client.post("/", json=2**70)
        user.client.post("/")
    bodies = [body for _, body in seen]
    assert json.loads(bodies[0]) == {"ä": [1, 2.5, None]}
    assert [b"a=1&a=2&b=x+y", b"a=1&a=2", "ü".encode(), b"\x00\xff", str(2**70).encode(), b""] == bodies[1:]
    assert b"Content-Type: application/json" in seen[0][0]
    assert b"Accept: application/json" in seen[0][0]
    assert b"Content-Type: application/x-www-form-urlencoded" in seen[1][0]
    assert b"Content-Type: text/plain" in seen[3][0]
    assert b"Content-Type: application/octet-stream" in seen[4][0]
    assert b"Content-Length: 0" in seen[6][0]


def test_files_become_a_multipart_form(tmp_path):
    """files= sends the file's name and content together with the form's fields."""
    path = tmp_path / "report.txt"
    path.write_bytes(b"line\n")
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user, path.open("rb") as file:
        user.client.post("/", data={"k": "v"}, files={"f": file, "g": ("g.bin", b"\x01", "application/x-g")})
    head, body = seen[0]
    assert b"Content-Type: multipart/form-data; boundary=" in head
    assert b'name="k"\r\n\r\nv\r\n' in body
    assert b'name="f"; filename="report.txt"' in body
    assert b"line\n" in body
    assert b'name="g"; filename="g.bin"\r\nContent-Type: application/x-g\r\n\r\n\x01' in body


@pytest.mark.parametrize(
    ("data", "files"),
    [
        (None, {"f": b"bytes"}),
        (None, {"f": "text"}),
        ({"n": 5, "l": ["a", 2], "none": None, "b": b"x", "t": True}, {"f": b"bytes"}),
        ([("k", "1"), ("k", "2")], [("f", ("a.bin", b"1")), ("f", ("b.bin", b"2"))]),
        (None, {"f": ("a.csv", "a,b", "text/csv", {"X-Part": "1"})}),
        (None, {"f": ("a.csv", b"a,b", "text/csv"), "none": None}),
        ({"ü": "ä"}, {"f": ("ü.txt", b"x")}),
    ],
)
def test_a_multipart_form_is_that_of_requests(data, files):
    """Any data and files that requests accepts become the same form; only the guess of a file's type differs."""

    def parts(body: bytes) -> list[bytes]:
        boundary = body.partition(b"\r\n")[0]
        guess = rb"Content-Type: (application/octet-stream|text/plain)\r\n"
        return [re.sub(guess, b"", part) for part in body.split(boundary)]

    ours, _ = encode_body(data, None, files)
    assert parts(ours) == parts(requests.Request("POST", "http://h/", data=data, files=files).prepare().body)


@pytest.mark.parametrize("data", [{}, [], (), "", b"", None])
def test_json_is_sent_where_data_is_empty(data):
    """Empty data does not keep json from being sent, as with FastHttpUser."""
    assert encode_body(data, {"a": 1}, None)[0] == b'{"a":1}'


def test_upload_of_a_file_has_a_length_and_an_iterable_comes_in_chunks(tmp_path):
    """A file is sent with Content-Length, a generator with chunked coding; both arrive complete."""
    content = bytes(range(256)) * 2000
    path = tmp_path / "file"
    path.write_bytes(content)
    seen = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request())[0]:
            seen.append(request)
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user, path.open("rb") as file:
        assert user.client.post("/", data=file).ok
        assert user.client.post("/", data=(piece for piece in (b"a" * 10, b"", b"b"))).ok
    assert f"Content-Length: {len(content)}".encode() in seen[0][0]
    assert content == seen[0][1]
    assert b"Transfer-Encoding: chunked" in seen[1][0]
    assert b"Content-Length" not in seen[1][0]
    assert seen[1][1] == b"a\r\naaaaaaaaaa\r\n1\r\nb\r\n0\r\n\r\n"


def test_framing_headers_are_the_clients_own():
    """A wrong Content-Length or Transfer-Encoding from the scenario is replaced by the right one."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.post("/", data=b"abc", headers={"content-length": "1", "Transfer-Encoding": "chunked"})
    assert seen[0][1] == b"abc"
    assert b"chunked" not in seen[0][0]


def test_upload_that_breaks_its_promise_fails_at_the_call():
    """An iterable that yields text, or a file that is shorter than declared, raises and closes the connection."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        response = user.client.post("/", data=iter(["text"]))
        assert isinstance(response.error, InvalidRequestError)
        assert error_classes(user) == {"exception": 1}
        assert user.client.get("/").ok

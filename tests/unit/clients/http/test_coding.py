"""Content codings: which ones are decoded, and which are left as they are."""

import gzip
import zlib

import brotli
import pytest

from loadtest.clients.http.coding import Decoder, decode
from tests.http_harness import ScriptedServer, always, answering, ok, running_user

CODED = {
    "gzip": gzip.compress(b"text" * 100),
    "x-gzip": gzip.compress(b"text" * 50) + gzip.compress(b"text" * 50),
    "deflate": zlib.compress(b"text" * 100),
    "DEFLATE": zlib.compress(b"text" * 100, wbits=-15),
    "br": brotli.compress(b"text" * 100),
    "gzip, br": brotli.compress(gzip.compress(b"text" * 100)),
    "identity": b"text" * 100,
}


@pytest.mark.parametrize("coding", CODED)
def test_content_codings_are_undone(coding):
    """gzip (including several members), deflate with and without wrapper, Brotli and combinations are decoded."""
    response = ok(CODED[coding], f"Content-Encoding: {coding}")
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        got = user.client.get("/")
        assert got.content == b"text" * 100
        assert len(CODED[coding]) == got.wire_bytes
        streamed = b"".join(user.client.get("/", stream=True).iter_content(decode_content=False))
        assert streamed == b"text" * 100


@pytest.mark.parametrize("padding", [b"\0" * 1000, b"garbage", b"\x1f", b"\0"])
@pytest.mark.parametrize("members", [1, 2])
def test_padding_behind_a_gzip_body_is_passed_over(padding, members):
    """Bytes after the last member are ignored, as gzip itself does, however they are split."""
    body = gzip.compress(b"text") * members + padding
    assert decode("gzip", body, 1000) == b"text" * members
    decoder = Decoder("gzip", 1000)
    assert b"".join(decoder.feed(body[at : at + 1]) for at in range(len(body))) == b"text" * members
    decoder.finish()


def test_unknown_coding_leaves_the_body_as_it_is():
    """A coding that was not requested is not an error; the bytes are unchanged."""
    with ScriptedServer(always(ok(b"??", "Content-Encoding: zz"))) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b"??"


def test_coded_response_without_a_body_is_empty():
    """An empty body with a coding, and the response to HEAD, decode to nothing."""
    responses = answering(ok(b"", "Content-Encoding: gzip"), ok(b"", "Content-Encoding: gzip"))
    with ScriptedServer(responses) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b""
        assert user.client.head("/").content == b""

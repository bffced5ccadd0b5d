"""The opening handshake: the client's offers, and the refusal of everything else."""

import pytest

from loadtest.clients.http.errors import InvalidRequestError, ProtocolError
from loadtest.clients.http.headers import Headers
from loadtest.clients.websocket.handshake import Agreement, Offer
from tests.websocket_harness import accept_of


def agreed(offer: Offer, status: int = 101, **fields: str | None) -> Agreement:
    """The agreement in a response with these fields, in addition to the usual ones."""
    lines = "\r\n".join(f"{name}: {value}" for name, value in offer.headers().items())
    usual = {"upgrade": "WebSocket", "connection": "keep-alive, Upgrade"}
    usual["sec-websocket-accept"] = accept_of(b"GET / HTTP/1.1\r\n" + lines.encode()).decode()
    given = usual | {name.replace("_", "-"): value for name, value in fields.items()}
    return offer.check(status, Headers([(n.encode(), v.encode()) for n, v in given.items() if v is not None]))


def test_what_is_offered_can_be_agreed_on():
    """One of the offered subprotocols, and compression with its parameters, can be agreed on."""
    offer = Offer(("v2", "v1"), compress=True)
    extension = "permessage-deflate; server_no_context_takeover; client_max_window_bits=10"
    found = agreed(offer, sec_websocket_protocol="v1", sec_websocket_extensions=extension)
    assert found.subprotocol == "v1"
    assert found.compression is not None
    assert (found.compression.client_max_window_bits, found.compression.server_no_context_takeover) == (10, True)
    assert agreed(Offer((), compress=True)) == (None, None)
    assert "Sec-WebSocket-Extensions" not in Offer((), compress=False).headers()


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 200},
        {"upgrade": None},
        {"upgrade": "h2c"},
        {"connection": "keep-alive"},
        {"sec_websocket_accept": None},
        {"sec_websocket_accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
        {"sec_websocket_protocol": None},
        {"sec_websocket_protocol": "v3"},
        {"sec_websocket_extensions": "x-webkit-deflate-frame"},
        {"sec_websocket_extensions": "permessage-deflate, permessage-deflate"},
        {"sec_websocket_extensions": "permessage-deflate; server_max_window_bits=7"},
        {"sec_websocket_extensions": "permessage-deflate; server_max_window_bits"},
        {"sec_websocket_extensions": "permessage-deflate; server_max_window_bits=9; server_max_window_bits=10"},
        {"sec_websocket_extensions": "permessage-deflate; unknown"},
    ],
    ids=str,
)
def test_what_was_not_offered_is_refused(fields):
    """The error is one sentence of the class protocol."""
    fields = {"sec_websocket_protocol": "v1", **fields}
    with pytest.raises(ProtocolError, match=r"^the server (responded|switched|chose)|does not belong"):
        agreed(Offer(("v1",), compress=True), **fields)


def test_an_extension_without_an_offer_is_refused():
    """This includes the one that could have been offered; the same holds for a subprotocol."""
    with pytest.raises(ProtocolError, match="not offered"):
        agreed(Offer((), compress=False), sec_websocket_extensions="permessage-deflate")
    with pytest.raises(ProtocolError, match="offered: none"):
        agreed(Offer((), compress=False), sec_websocket_protocol="v1")


@pytest.mark.parametrize("names", [("v1", "v1"), ("v 1",), ("",), ("v1\r\nX: y",), (1,)])
def test_subprotocols_that_are_no_names_are_refused(names):
    """Nothing is sent."""
    with pytest.raises(InvalidRequestError, match="allowed are different names"):
        Offer(names, compress=True)

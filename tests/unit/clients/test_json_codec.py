"""JSON encoding and decoding: all that the standard library can encode is encoded, into the same value."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.clients.http.server_sent_events import ServerSentEvent
from loadtest.clients.json_codec import LAZY, LazyJson, OrjsonDecoder, decode_any, decode_json, encode_json
from loadtest.clients.websocket.session import Message

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=15,
)


@given(VALUES)
def test_an_encoded_value_is_the_standard_librarys(value):
    """Our encoding parses to the same value as that of json.dumps, for any JSON value."""
    assert json.loads(json.dumps(value)) == json.loads(encode_json(value))


@pytest.mark.parametrize("value", ["\ud800", 2**64, -(2**63) - 1, {1: 2}, {"k": {2.5: None}}, 10**30])
def test_what_orjson_refuses_is_left_to_the_standard_library(value):
    """Lone surrogates, long integers and keys that are not strings are encoded all the same."""
    assert json.loads(json.dumps(value)) == json.loads(encode_json(value))


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 1j])
def test_what_json_has_not_is_refused(value):
    """A value that json.dumps refuses is refused with its error."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        encode_json(value)


def test_nan_is_sent_as_the_standard_library_sends_it():
    """NaN and infinity do not become null, and null stays null."""
    for value in ([math.nan, math.inf, None], {"a": {1: -math.inf}}, [math.nan, 2**70]):
        assert encode_json(value) == json.dumps(value).encode()
    assert encode_json([None, "null", 1.5]) == b'[null,"null",1.5]'


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, 10**20, -(2**63), -(2**63) - 1, 1 - 10**19, 10**400])
def test_integers_of_any_size_stay_exact(number):
    """An id of twenty digits is unchanged wherever it is."""
    for document in (number, [number], {"id": number, "text": "1" * 30, "x": 1.25}):
        assert decode_json(json.dumps(document).encode()) == document


def test_lazy_parses_once_and_only_when_asked():
    """A broken document is not an error until its value is asked for."""
    lazy = LAZY.decode(b"[1,")
    assert isinstance(lazy, LazyJson)
    assert repr(lazy) == "LazyJson(b'[1,')"
    with pytest.raises(json.JSONDecodeError):
        _ = lazy.value
    assert LAZY.decode(3) == 3
    assert OrjsonDecoder().decode(b"[1]") == [1]


DEEP = b"[" * 100_000 + b"1" * 19


@pytest.mark.parametrize("document", [DEEP, b"9" * 5_000, b"[", b"\xff"], ids=["deep", "long number", "cut", "no text"])
@pytest.mark.parametrize("decode", [decode_any, decode_json, lambda one: Message(one, 0.0).json()])
def test_what_a_service_nests_deeply_is_no_json(decode, document):
    """The error is that of any text that is not JSON, which scenarios and checks catch."""
    with pytest.raises(json.JSONDecodeError):
        decode(document)


def test_a_deep_event_is_no_json():
    """The same holds for a server-sent event."""
    with pytest.raises(json.JSONDecodeError):
        ServerSentEvent(DEEP.decode()).json()

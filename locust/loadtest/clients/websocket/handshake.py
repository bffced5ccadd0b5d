"""The opening handshake (RFC 6455, section 4): what a request offers, and how a server may answer.

Tested in tests/unit/clients/websocket/test_handshake.py.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits
from wsproto.utilities import generate_accept_token, generate_nonce

from loadtest.clients.http.errors import InvalidRequestError, ProtocolError
from loadtest.clients.http.exchange import SWITCHING
from loadtest.clients.http.headers import Headers

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEFLATE: Final = PerMessageDeflate.name
_PARAMETER: Final = re.compile(r'(server|client)_(no_context_takeover|max_window_bits="?(9|1[0-5])"?)')


class Deflate(PerMessageDeflate):
    """permessage-deflate that allows control frames between the frames of a message (RFC 7692, section 6.1).

    At such a frame, wsproto's own forgets that the message is compressed.
    """

    _is_control = False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Check whether the frame is a control frame, which is never compressed."""
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """Decompress."""
        return data if self._is_control else super().frame_inbound_payload_data(proto, data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """The remaining data at the end of a message."""
        return None if self._is_control else super().frame_inbound_complete(proto, fin)


class Agreement(NamedTuple):
    """What client and server agreed on.

    Attributes:
        subprotocol: The subprotocol, or None.
        compression: The extension that compresses, or None.
    """

    subprotocol: str | None
    compression: Deflate | None


class Offer:
    """The offer of one handshake.

    Args:
        subprotocols: Those that the scenario speaks, in order of preference.
        compress: Whether messages may be compressed.

    Raises:
        InvalidRequestError: A subprotocol is not a token, or is listed twice.
    """

    def __init__(self, subprotocols: Sequence[str], compress: bool) -> None:
        """Generate the key."""
        names = (subprotocols,) if isinstance(subprotocols, str) else tuple(subprotocols)
        if len(set(names)) < len(names) or not all(isinstance(name, str) and _TOKEN.fullmatch(name) for name in names):
            raise InvalidRequestError(f"subprotocols={subprotocols!r}; allowed are different names, as in ('v2.chat',)")
        self._subprotocols = names
        self._compress = compress
        self._key = generate_nonce()

    def headers(self) -> dict[str, str]:
        """The header fields of the request."""
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": self._key.decode(),
            "Sec-WebSocket-Version": "13",
        }
        if self._subprotocols:
            fields["Sec-WebSocket-Protocol"] = ", ".join(self._subprotocols)
        if self._compress:
            fields["Sec-WebSocket-Extensions"] = f"{_DEFLATE}; client_max_window_bits"
        return fields

    def check(self, status: int, headers: Headers) -> Agreement:
        """What a response agrees to.

        Raises:
            ProtocolError: It is not the answer to this offer.
        """
        if status != SWITCHING:
            raise ProtocolError(f"the server responded with status {status} instead of opening a WebSocket")
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in _items(headers.get("connection", "")):
            raise ProtocolError("the server switched to a protocol other than WebSocket")
        if headers.get("sec-websocket-accept") != generate_accept_token(self._key).decode():
            raise ProtocolError("the server's Sec-WebSocket-Accept does not belong to this request's key")
        return Agreement(self._subprotocol(headers), self._compression(headers))

    def _subprotocol(self, headers: Headers) -> str | None:
        chosen = headers.get("sec-websocket-protocol")
        if (chosen or self._subprotocols) and chosen not in self._subprotocols:  # as browsers do
            offered = ", ".join(self._subprotocols) or "none"
            raise ProtocolError(f"the server chose the subprotocol {chosen or 'none'}; offered: {offered}")
        return chosen

    def _compression(self, headers: Headers) -> Deflate | None:
        chosen = headers.get("sec-websocket-extensions")
        if not chosen:
            return None
        name, *parameters = (part.strip() for part in chosen.lower().split(";"))
        known = all(map(_PARAMETER.fullmatch, parameters))
        names = [parameter.partition("=")[0] for parameter in parameters]
        if not self._compress or name != _DEFLATE or not known or len(set(names)) < len(names):
            raise ProtocolError(f"the server chose the extensions {chosen[:80]!r}, which were not offered")
        compression = Deflate()
        compression.finalize(chosen.lower().replace('"', ""))
        return compression


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.lower().split(",")]

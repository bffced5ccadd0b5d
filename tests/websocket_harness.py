"""Shared by the WebSocket tests: the server's side of a session, from RFC 6455 and not from the client's library."""

import base64
import hashlib
import struct
from collections.abc import Callable
from typing import Any

from tests.http_harness import Peer

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False, masked: bool = False) -> bytes:
    """A frame as a server sends it."""
    first = fin << 7 | rsv1 << 6 | opcode
    mask = b"\x01\x02\x03\x04" if masked else b""
    return bytes([first]) + length(len(payload), masked=masked) + mask + xor(payload, mask)


def length(size: int, *, masked: bool = False) -> bytes:
    """The length that a frame announces."""
    flag = masked << 7
    if size < 126:
        return bytes([flag | size])
    return struct.pack("!BH", flag | 126, size) if size < 65536 else struct.pack("!BQ", flag | 127, size)


def xor(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask."""
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


class SocketPeer:
    """The server's side of an open session."""

    def __init__(self, peer: Peer, head: bytes) -> None:
        self.peer = peer
        self.head = head

    def send(self, *frames: bytes) -> None:
        """Send frames."""
        self.peer.send(*frames)

    def read(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload; a client masks each."""
        first, second = self.peer.read(2)
        assert second >> 7, "a client must mask its frames"
        size = second & 127
        if size >= 126:
            size = int.from_bytes(self.peer.read(2 if size == 126 else 8), "big")
        mask = self.peer.read(4)
        return first & 0x4F, xor(self.peer.read(size), mask)

    def finish(self) -> None:
        """Answer the client's close frame, skipping the frames before it."""
        while (received := self.read())[0] != CLOSE:
            pass
        self.send(frame(CLOSE, received[1]))


def accept_of(head: bytes) -> bytes:
    """The Sec-WebSocket-Accept for a request."""
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split(b": ")[1]
    assert fields[b"sec-websocket-version"] == b"13"
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324


def switching(head: bytes, *fields: str) -> bytes:
    """The response that opens a session."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", *fields]
    return "\r\n".join(lines).encode() + b"\r\nSec-WebSocket-Accept: " + accept_of(head) + b"\r\n\r\n"


def accepting(script: Callable[[SocketPeer], Any], *fields: str) -> Callable[[Peer], None]:
    """A script for a ScriptedServer that opens a session, then continues with another script."""

    def serve(peer: Peer) -> None:
        if head := peer.read_head():
            peer.send(switching(head, *fields))
            script(SocketPeer(peer, head))

    return serve


def echoing(peer: SocketPeer) -> None:
    """Echo frames until the client closes."""
    while (received := peer.read())[0] != CLOSE:
        opcode, payload = received
        peer.send(frame(PONG if opcode == PING else opcode, payload))
    peer.send(frame(CLOSE, received[1]))

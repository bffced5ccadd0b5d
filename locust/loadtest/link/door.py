"""Door: the master's end asks it who may come in, and it counts who was turned away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import zmq.green as zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from loadtest.link import refusals

if TYPE_CHECKING:
    from loadtest.link.keys import KeyPair

_ZAP: Final = "inproc://zeromq.zap.01"
"""Where ZeroMQ asks for each handshake, by its ZAP protocol (RFC 27)."""
_VERSION: Final = b"1.0"
_ASKED: Final = 7
_FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Door:
    """Lets in who has the workers' key.

    Args:
        server: the master's socket, before it is bound.
        admitted: the workers' key.
    """

    def __init__(self, server: Any, admitted: KeyPair) -> None:
        self._admitted = z85.decode(admitted.public)
        self._asked = server.context.socket(zmq.REP)
        self._asked.bind(_ZAP)
        self._failures = server.get_monitor_socket(_FAILED)
        self._greenlets = [gevent.spawn(self._answer), gevent.spawn(self._count)]

    def close(self) -> None:
        """Ask nobody any more; nobody comes in."""
        gevent.killall(self._greenlets, block=False)
        self._asked.close(linger=0)

    def _answer(self) -> NoReturn:
        while True:
            question = self._asked.recv_multipart()
            version, request = question[0], question[1]
            known = len(question) == _ASKED and question[5] == b"CURVE" and question[6] == self._admitted
            status = (b"200", b"OK", b"worker") if known and version == _VERSION else (b"400", b"unknown key", b"")
            self._asked.send_multipart([_VERSION, request, *status, b""])

    def _count(self) -> NoReturn:
        while True:
            event = parse_monitor_message(self._failures.recv_multipart())
            if event["event"] & _FAILED:
                refusals.refuse(refusals.HANDSHAKE, "somebody without this stack's key wanted to join")

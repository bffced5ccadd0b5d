"""Authenticator: decides for the master's end which handshakes succeed, and counts those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import zmq.green as zmq
from zmq.utils import z85

from loadtest.swarm import refusals
from loadtest.swarm.monitor import FAILED, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.swarm.keys import KeyPair

_ZAP: Final = "inproc://zeromq.zap.01"
"""Where ZeroMQ asks for each handshake, by its ZAP protocol (RFC 27)."""
_VERSION: Final = b"1.0"
_MECHANISM: Final = 5
"""Where in a question the peer's mechanism is; its credentials follow."""
_LET_IN: Final = (b"200", b"OK", b"worker")
_NO_KEY: Final = (b"400", b"unknown key", b"")
_FULL: Final = (b"300", b"no room", b"")
"""Of these statuses this one alone has a worker connect again."""


class Authenticator:
    """Lets in peers that have the workers' key, where there is one, and each of them only while there is room.

    ZeroMQ takes no message of a peer before the answer, so that who is sent away and connects again fills no memory.
    Each question waits in memory for its answer, so that none is put off.

    Args:
        server: the master's socket, before it is bound.
        admitted: the workers' key; None where peers need none.
        has_room: whether there is room for what peers send.
    """

    def __init__(self, server: Any, admitted: KeyPair | None, has_room: Callable[[], bool]) -> None:
        self._admitted = [b"CURVE", z85.decode(admitted.public)] if admitted else [b"NULL"]
        self._has_room = has_room
        server.zap_domain = b"loadtest"
        server.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise every handshake succeeds while nobody answers
        self._questions = server.context.socket(zmq.REP)
        self._questions.bind(_ZAP)
        self._stop_counting = Monitor.of(server).listen(FAILED, self._count) if admitted else None
        self._greenlet = gevent.spawn(self._answer)

    def close(self) -> None:
        """Stop answering; from now on every handshake fails."""
        if self._stop_counting:
            self._stop_counting()
        self._greenlet.kill(block=False)
        self._questions.close(linger=0)

    def _answer(self) -> NoReturn:
        while True:
            question = self._questions.recv_multipart()
            version, request = question[0], question[1]
            known = question[_MECHANISM:] == self._admitted and version == _VERSION
            status = _NO_KEY if not known else _LET_IN if self._has_room() else _FULL
            self._questions.send_multipart([_VERSION, request, *status, b""])

    def _count(self, _reason: int) -> None:
        refusals.refuse(refusals.HANDSHAKE, "the peer does not have this stack's key")

"""Authenticator: accepts or rejects handshakes on the master's socket, and counts the rejected ones."""

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
"""The endpoint at which ZeroMQ asks about each handshake, as defined by ZAP (RFC 27)."""
_VERSION: Final = b"1.0"
_MECHANISM: Final = 5
"""The position of the peer's mechanism in a ZAP request; its credentials follow."""
_LET_IN: Final = (b"200", b"OK", b"worker")
_NO_KEY: Final = (b"400", b"unknown key", b"")
_FULL: Final = (b"300", b"no room", b"")
"""The only ZAP status after which a worker connects again."""


class Authenticator:
    """Admits peers that have the workers' key, if a key is set, and only while there is room for their messages.

    ZeroMQ accepts no message from a peer before the answer, so a rejected peer that reconnects fills no memory. Each
    ZAP request occupies memory until it is answered, so every one is answered at once.

    Args:
        server: the master's socket, before it is bound.
        admitted: the workers' key; None if peers need no key.
        has_room: whether there is room for further messages.
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
        """Stop answering. All further handshakes fail."""
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

"""Authenticator: decides for the master's end which handshakes succeed, and counts those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import zmq.green as zmq
from zmq.utils import z85

from loadtest.swarm import refusals
from loadtest.swarm.monitor import FAILED, Monitor

if TYPE_CHECKING:
    from loadtest.swarm.keys import KeyPair

_ZAP: Final = "inproc://zeromq.zap.01"
"""Where ZeroMQ asks for each handshake, by its ZAP protocol (RFC 27)."""
_VERSION: Final = b"1.0"
_QUESTION_PARTS: Final = 7


class Authenticator:
    """Lets in peers that have the workers' key.

    Args:
        server: the master's socket, before it is bound.
        admitted: the workers' key.
    """

    def __init__(self, server: Any, admitted: KeyPair) -> None:
        self._admitted = z85.decode(admitted.public)
        server.zap_domain = b"loadtest"
        server.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise every handshake succeeds while nobody answers
        self._questions = server.context.socket(zmq.REP)
        self._questions.bind(_ZAP)
        self._stop_counting = Monitor.of(server).listen(FAILED, self._count)
        self._greenlet = gevent.spawn(self._answer)

    def close(self) -> None:
        """Stop answering; from now on every handshake fails."""
        self._stop_counting()
        self._greenlet.kill(block=False)
        self._questions.close(linger=0)

    def _answer(self) -> NoReturn:
        while True:
            question = self._questions.recv_multipart()
            version, request = question[0], question[1]
            known = len(question) == _QUESTION_PARTS and question[5] == b"CURVE" and question[6] == self._admitted
            status = (b"200", b"OK", b"worker") if known and version == _VERSION else (b"400", b"unknown key", b"")
            self._questions.send_multipart([_VERSION, request, *status, b""])

    def _count(self, _reason: int) -> None:
        refusals.refuse(refusals.HANDSHAKE, "the peer does not have this stack's key")

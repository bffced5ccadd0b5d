"""Burst: many messages over one socket at the price of few.

A socket of `zmq.green` looks at its state after every part of every message, which takes longer than the message. Here
a message is taken or given without that, and the state is looked at once, where a greenlet is going to wait.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import zmq
from zmq.backend import Socket

if TYPE_CHECKING:
    from collections.abc import Iterable

_receive: Any = Socket.recv
_send: Any = Socket.send
_get: Any = Socket.get


def receive(socket: Any) -> list[bytes]:
    """Receive the next message's parts; other greenlets run only when none waits."""
    with contextlib.suppress(zmq.Again):
        parts = [_receive(socket, zmq.NOBLOCK)]
        while _get(socket, zmq.RCVMORE):
            parts.append(_receive(socket, zmq.NOBLOCK))
        return parts
    received: list[bytes] = socket.recv_multipart()
    return received


def send(socket: Any, messages: Iterable[tuple[bytes, bytes]]) -> None:
    """Send messages over a ROUTER socket, each with its receiver; one whose receiver is away is dropped, as ever."""
    for receiver, message in messages:
        _send(socket, receiver, zmq.SNDMORE | zmq.NOBLOCK)
        _send(socket, message, zmq.NOBLOCK)
    socket.get(zmq.EVENTS)  # sending may have swallowed the sign that something came in; this wakes who waits for it

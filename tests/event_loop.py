"""Checks whether the event loop polls its sockets during other work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

_READABLE = 1


@contextmanager
def looks_at_sockets() -> Iterator[list[None]]:
    """Yield a list that gets an entry at each look of the event loop at its sockets."""
    readable, writable = os.pipe()
    os.write(writable, b"never read")
    looks: list[None] = []
    watcher = gevent.get_hub().loop.io(readable, _READABLE)
    watcher.start(looks.append, None)
    try:
        yield looks
    finally:
        watcher.close()
        os.close(readable)
        os.close(writable)

"""The upper bound for any client on gevent: 64 greenlets that send fixed bytes, wait, receive, and do nothing else.

Responses are neither parsed nor recorded. The possible gain of a client written in C is the difference between this and
the product's client; see docs/decisions/0033-no-c-extension.md.
"""

import os

import gevent.monkey

gevent.monkey.patch_all()

from greenlet import getcurrent  # noqa: E402

from loadtest.clients.http.connection import HttpConnection  # noqa: E402
from loadtest.clients.http.url import parse  # noqa: E402
from loadtest.clients.transport.endpoint import Endpoint  # noqa: E402

_CONNECTIONS = 64
_CONNECT_S = 10.0
_RECEIVE_BYTES = 960


def exchange_for_ever(address: str) -> None:
    """One connection, one request after the other."""
    url = parse(address)
    connection = HttpConnection(Endpoint(url.origin.host, url.origin.port).connect(_CONNECT_S), url.origin)
    wire = f"GET {url.target} HTTP/1.1\r\nHost: {url.origin.authority}\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"
    request = wire.encode()
    connection.waiter = getcurrent()
    while True:
        connection.stream.send(request)
        connection.wait()
        connection.source.recv(_RECEIVE_BYTES)


if __name__ == "__main__":
    target = f"{os.environ['BENCH_URL']}/small"
    gevent.joinall([gevent.spawn(exchange_for_ever, target) for _ in range(_CONNECTIONS)], raise_error=True)

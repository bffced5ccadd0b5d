"""A proxy to a Redis that delays each reply, and records the delay.

    python -m bench.key_value.link REDIS_PORT RESULT

Prints its own port. For each command it records the time from its arrival, timestamped by the kernel, until its reply
was forwarded. On termination it writes these times, in seconds, and the number per second to RESULT. A tool that sends
one command at a time on each connection should report the same response times.
"""

import heapq
import itertools
import json
import random
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

SHORTEST_S, MEAN_MORE_S = 0.002, 0.001
"""A reply is delayed by the first, plus an exponentially distributed time whose mean is the second."""
_MAX_BYTES = 65_536
_SO_TIMESTAMPNS = 35  # Linux; the module socket has no constant for it
_TIMESPEC = struct.Struct("qq")


class Link:
    """The link, as one thread.

    Attributes:
        taken_s: the durations of the commands, in the order of their replies.
        first_s: the arrival of the first, in seconds of ``time.time``.
        last_s: the reply to the last.
    """

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._selector = selectors.DefaultSelector()
        self._held: list[tuple[float, int, socket.socket, float, bytes]] = []
        self._numbers = itertools.count()
        self._random = random.Random(1)
        self.taken_s: list[float] = []
        self.first_s = self.last_s = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)  # its connections inherit the option
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self.port = self._listener.getsockname()[1]

    def run(self) -> NoReturn:
        """Forward commands and replies."""
        while True:
            pause_s = max(0.0, self._held[0][0] - time.time()) if self._held else None
            for key, _ in self._selector.select(pause_s):
                if key.fd in self._selector.get_map():  # it may have been closed in the meantime
                    key.data()
            while self._held and self._held[0][0] <= time.time():
                _, _, client, arrived_s, reply = heapq.heappop(self._held)
                try:
                    client.sendall(reply)
                except OSError:  # it has closed
                    continue
                self.last_s = time.time()
                self.first_s = self.first_s or arrived_s
                self.taken_s.append(self.last_s - arrived_s)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._redis_port))
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        arrived_s = 0.0

        def pass_on_command() -> None:
            nonlocal arrived_s
            command, arrived_s = _arrived(client)
            if command:
                server.sendall(command)
            else:
                self._close(client, server)

        def hold_reply() -> None:
            due_s = arrived_s + SHORTEST_S + self._random.expovariate(1 / MEAN_MORE_S)
            reply = server.recv(_MAX_BYTES)
            heapq.heappush(self._held, (due_s, next(self._numbers), client, arrived_s, reply))

        self._selector.register(client, selectors.EVENT_READ, pass_on_command)
        self._selector.register(server, selectors.EVENT_READ, hold_reply)

    def _close(self, *sockets: socket.socket) -> None:
        for one in sockets:
            self._selector.unregister(one)
            one.close()


def _arrived(client: socket.socket) -> tuple[bytes, float]:
    """Return the received data, and its arrival in seconds of ``time.time``; no data at the end of a connection."""
    try:
        command, stamps, _, _ = client.recvmsg(_MAX_BYTES, socket.CMSG_SPACE(_TIMESPEC.size))
    except ConnectionError:
        return b"", 0.0
    if not stamps:  # at the end, and before the kernel has started to timestamp
        return command, time.time()
    seconds, nanoseconds = _TIMESPEC.unpack(stamps[0][2])
    return command, seconds + nanoseconds / 1e9


if __name__ == "__main__":
    link = Link(int(sys.argv[1]))

    def end(*_: object) -> NoReturn:
        """Write the recorded times."""
        figures = {"taken_s": link.taken_s, "per_s": len(link.taken_s) / (link.last_s - link.first_s)}
        Path(sys.argv[2]).write_text(json.dumps(figures))
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    print(link.port, flush=True)
    link.run()

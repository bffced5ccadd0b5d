"""A target whose responses wait as if for a database.

    python -m bench.duet.target PORT

The wait is log-normal, with a median of `DUET_MEDIAN_MS`, by default 20. `DUET_SLOWER=0.03` makes it 3 % longer, of
the endpoints and requests that `DUET_KIND` says: all, one (of the two endpoints of the scenario health), or tail (one
request in fifty, by ten times that share). With cpu it computes for a fortieth of the time that it would otherwise
wait: 0.5 of 20 ms. The first `DUET_COLD` requests, by default none, take twice as long.

It has a single event loop, which needs a tenth of the CPU time of a server with threads: enough even if other work
leaves each process a sixth of a core.
"""

import asyncio
import os
import random
import sys
import time
from typing import cast

MEDIAN_S = float(os.environ.get("DUET_MEDIAN_MS", "20")) / 1000
SPREAD = 0.2
SLOWED = b"/healthz/ready"
TAIL = 0.02
CPU_SHARE = 1 / 40
_END = b"\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Target(asyncio.Protocol):
    """One connection, whose requests have no body."""

    cold = int(os.environ.get("DUET_COLD", "0"))
    slower, kind = float(os.environ.get("DUET_SLOWER", "0")), os.environ.get("DUET_KIND", "all")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with an empty buffer."""
        self._transport, self._received = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        """Answer each complete request after its wait."""
        *requests, self._received = (self._received + data).split(_END)
        for request in requests:
            wait_s = random.lognormvariate(0, SPREAD) * MEDIAN_S * self._factor(request.split(b" ", 2)[1])
            if self.kind == "cpu":
                until_s = time.thread_time() + wait_s * CPU_SHARE
                while time.thread_time() < until_s:
                    pass
                self._transport.write(_ANSWER)
            else:
                asyncio.get_running_loop().call_later(wait_s, self._transport.write, _ANSWER)

    def _factor(self, path: bytes) -> float:
        Target.cold -= 1
        if Target.cold >= 0:
            return 2.0
        if self.kind == "one" and path != SLOWED:
            return 1.0
        if self.kind == "tail":
            return 1 + 10 * self.slower * (random.random() < TAIL)
        return 1 + self.slower


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Target, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""A target that stalls for 200 ms each second, like a process in garbage collection, and keeps its own log.

During a stall it neither reads nor responds. On SIGTERM it writes its log as JSON: the time at which each response was
sent, in seconds of CLOCK_MONOTONIC, which is `time.perf_counter` in every process of this machine.
"""

import argparse
import asyncio
import json
import signal
import time
from pathlib import Path

STALL_S = 0.2
EVERY_S = 1.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Server(asyncio.Protocol):
    """Responds to every request immediately, unless the process stalls."""

    answers_s: list[float]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to the requests in this chunk; the bench's requests have no body and arrive whole."""
        for _ in range(data.count(b"\r\n\r\n")):
            self.transport.write(ANSWER)
            self.answers_s.append(time.perf_counter())


async def serve(port: int, log: Path) -> None:
    """Serve until SIGTERM."""
    answers_s: list[float] = []
    Server.answers_s = answers_s
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(Server, "127.0.0.1", port)
    while not ended.is_set():
        await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=EVERY_S - STALL_S)
        time.sleep(STALL_S)
    log.write_text(json.dumps(answers_s))
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("log", type=Path)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.log))

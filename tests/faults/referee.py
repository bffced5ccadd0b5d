"""A referee: a target that writes down what it received and what it answered, in a process of its own.

It shares no code with the product. Each request is a line of the journal when it was received, and another one before
it is answered; the kernel keeps both, whoever is killed then::

    R 1764174000.123456 GET /fast 4711-3
    A 1764174000.123612 GET /fast 4711-3

The last column is the user that sent the request, where the request's head names it (X-User). With the address of
another server, the referee asks that one for its answers. A request that this program cannot read ends it.

    python tests/faults/referee.py JOURNAL PORT [DELAY_S] [UPSTREAM_PORT]
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_USER = re.compile(rb"\r\nx-user: *([\w-]+)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection: [^\r]*", re.IGNORECASE)


class Server:
    """What runs in the referee's process.

    Args:
        journal: where to write.
        delay_s: how long each request waits for its answer.
        upstream: the port of the server that knows the answers; 0: each is `ANSWER`.
    """

    def __init__(self, journal: str, delay_s: float, upstream: int) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._delay_s = delay_s
        self._upstream = upstream

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                method, path, _ = head.split(b" ", 2)
                user = _USER.search(head)
                line = b" ".join((method, path, user[1] if user else b"-"))
                self._note(b"R", line)
                answer = await self._answer(head, body)
                self._note(b"A", line)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _note(self, what: bytes, line: bytes) -> None:
        os.write(self._journal, b"%s %.6f %s\n" % (what, time.time(), line))

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if not self._upstream:
            return ANSWER
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            writer.write(_CONNECTION.sub(b"", head)[:-2] + b"Connection: close\r\n\r\n" + body)
            return _CONNECTION.sub(b"", await reader.read())
        finally:
            writer.close()


async def main(journal: str, port: str, delay_s: str = "0", upstream: str = "0") -> None:
    """Serve until killed."""
    server = Server(journal, float(delay_s), int(upstream))
    async with await asyncio.start_server(server.serve, "127.0.0.1", int(port)) as listening:
        await listening.serve_forever()


@dataclass(frozen=True)
class Line:
    """One line of the journal."""

    answered: bool
    at: float
    name: str
    """Method and path."""
    user: str

    @property
    def process(self) -> str:
        """The process of the user."""
        return self.user.partition("-")[0]


class Referee:
    """The referee as a test sees it.

    Args:
        folder: of the journal.
        port: where it listens.
        delay_s: how long each request waits for its answer.
        upstream: the port of the server that knows the answers; 0: the referee does.
    """

    def __init__(self, folder: Path, port: int, delay_s: float = 0.0, upstream: int = 0) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._journal = folder / "journal"
        self._journal.touch()
        program = [sys.executable, "-I", __file__, self._journal, str(port), str(delay_s), str(upstream)]
        self._start = lambda: subprocess.Popen(program)
        self._process = self._start()

    def restart(self, away_s: float = 0.0) -> None:
        """Kill it, and start it again after a while; it goes on with the same journal."""
        self.kill()
        time.sleep(away_s)
        self._process = self._start()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    @property
    def size(self) -> int:
        """How long the journal is, in bytes."""
        return self._journal.stat().st_size

    def lines(self, after: int = 0) -> list[Line]:
        """Return the journal from this many bytes on."""
        with self._journal.open("rb") as journal:
            journal.seek(after)
            return [_read(line) for line in journal.read().decode().splitlines()]

    def answered(self) -> Counter[str]:
        """Return how many requests of each name were answered."""
        return Counter(line.name for line in self.lines() if line.answered)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _read(line: str) -> Line:
    what, at, method, path, user = line.split(" ")
    return Line(what == "A", float(at), f"{method} {path}", user)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

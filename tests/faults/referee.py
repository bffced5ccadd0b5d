"""A referee: a target that logs the requests that it received and answered, in a separate process.

It shares no code with the product. Each request has a line in the journal when it is received, and another one before
it is answered; the kernel keeps both, whichever process is killed::

    R 1764174000.123456 GET /fast 4711-3
    A 1764174000.123612 GET /fast 4711-3

The last column is the user that sent the request, if the request names it (the header X-User, or the Redis key
loadtest:user:USER), or otherwise its source address. With the address of another server, the referee forwards requests
to that one. A request that this program cannot parse ends it. For Redis' protocol, a line has the command twice,
instead of method and path; commands that only open a connection have no line. In a WebSocket session, a message is a
MESSAGE when it is received and before it is echoed; any other message of the server is an EVENT, with the second line
only.

    python tests/faults/referee.py JOURNAL HOST:PORT [DELAY_S] [UPSTREAM_HOST:PORT|-] [http|redis]
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "MESSAGE")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_USER = re.compile(rb"\r\nx-user: *([\w-]+)", re.IGNORECASE)
_KEY_OF_USER = re.compile(rb"loadtest:user:([\w-]+)")
_CONNECTION = re.compile(rb"\r\nconnection: [^\r]*", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade: *websocket\r\n", re.IGNORECASE)
_EXTENSIONS = re.compile(rb"\r\nsec-websocket-extensions: [^\r]*", re.IGNORECASE)
_OPENING = (b"HELLO", b"AUTH", b"SELECT", b"CLIENT")


class Server:
    """The server in the referee's process.

    Args:
        journal: the path of the journal.
        delay_s: the delay of each HTTP response.
        upstream: host and port of the server that responds; None: each response is `ANSWER`.
    """

    def __init__(self, journal: str, delay_s: float, upstream: tuple[str, int] | None) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._delay_s = delay_s
        self._upstream = upstream

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        address = writer.get_extra_info("peername")[0].encode()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                method, path, _ = head.split(b" ", 2)
                user = _USER.search(head)
                line = b" ".join((method, path, user[1] if user else address))
                self._note(b"R", line)
                if _UPGRADE.search(head):
                    await self._session(head, line, reader, writer)
                    return
                answer = await self._answer(head, body)
                self._note(b"A", line)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _session(
        self, head: bytes, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass on a WebSocket session, uncompressed, until one of the two ends it."""
        rest, sent = line.partition(b" ")[2], Counter[bytes]()

        def name(message: bytes, *, is_sent: bool) -> None:
            sent[message] += 1 if is_sent else -1
            what = b"MESSAGE " if sent[message] >= 0 else b"EVENT "
            sent[message] = max(0, sent[message])
            self._note(b"R" if is_sent else b"A", what + rest)

        replies, behind = await asyncio.open_connection(*(self._upstream or ()))
        behind.write(_EXTENSIONS.sub(b"", head))
        answer = await replies.readuntil(b"\r\n\r\n")
        self._note(b"A", line)
        writer.write(answer)
        ways = [asyncio.create_task(_pass(reader, behind, partial(name, is_sent=True))),
                asyncio.create_task(_pass(replies, writer, partial(name, is_sent=False)))]  # fmt: skip
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, behind):
            end.close()

    async def redis(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a Redis client: it ends with its connection to the upstream."""
        address = writer.get_extra_info("peername")[0].encode()
        behind: asyncio.StreamWriter | None = None
        try:
            replies, behind = await asyncio.open_connection(*(self._upstream or ()))
            while True:
                words, data = await _command(reader)
                name, key = words[0].upper(), b"".join(words[1:2])
                user = _KEY_OF_USER.fullmatch(key)
                line = b" ".join((name, name, user[1] if user else address))
                if name not in _OPENING:
                    self._note(b"R", line)
                behind.write(data)
                reply = await _reply(replies)
                if name not in _OPENING:
                    self._note(b"A", line)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            for end in filter(None, (writer, behind)):
                end.close()

    def _note(self, what: bytes, line: bytes) -> None:
        os.write(self._journal, b"%s %.6f %s\n" % (what, time.time(), line))

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if not self._upstream:
            return ANSWER
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            writer.write(_CONNECTION.sub(b"", head)[:-2] + b"Connection: close\r\n\r\n" + body)
            return _CONNECTION.sub(b"", await reader.read())
        finally:
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], None]) -> None:
    """Pass on the frames of a session, each of which is a whole message or a control frame."""
    while True:
        head = await reader.readexactly(2)
        size = head[1] & 127
        more = await reader.readexactly({126: 2, 127: 8}.get(size, 0))
        size = int.from_bytes(more) if more else size
        mask = await reader.readexactly(4 if head[1] & 128 else 0)
        payload = await reader.readexactly(size)
        if not head[0] & 8:
            see(bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload)
        writer.write(head + more + mask + payload)
        await writer.drain()


async def _command(reader: asyncio.StreamReader) -> tuple[list[bytes], bytes]:
    """Return the words of a command, and its bytes."""
    head = await reader.readuntil(b"\r\n")
    words, data = [], head
    for _ in range(int(head[1:])):
        size = await reader.readuntil(b"\r\n")
        word = await reader.readexactly(int(size[1:]) + 2)
        words.append(word[:-2])
        data += size + word
    return words, data


async def _reply(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes of one reply, of either version of the protocol."""
    head = await reader.readuntil(b"\r\n")
    kind = head[:1]
    if kind in b"$=!":
        return head + (await reader.readexactly(int(head[1:]) + 2) if head[1:2] != b"-" else b"")
    if kind in b"*~%":
        parts = max(0, int(head[1:])) * (2 if kind == b"%" else 1)
        return head + b"".join([await _reply(reader) for _ in range(parts)])
    return head


async def main(journal: str, listen: str, delay_s: str = "0", upstream: str = "-", kind: str = "http") -> None:
    """Serve until killed."""
    server = Server(journal, float(delay_s), None if upstream == "-" else _place(upstream))
    async with await asyncio.start_server(getattr(server, kind), *_place(listen)) as listening:
        await listening.serve_forever()


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


@dataclass(frozen=True)
class Line:
    """One line of the journal."""

    answered: bool
    at: float
    name: str
    """Method and path; of Redis, the command twice."""
    user: str

    @property
    def is_of_redis(self) -> bool:
        """Whether it is a Redis command."""
        method, _, path = self.name.partition(" ")
        return method == path

    @property
    def process(self) -> str:
        """The process of the user."""
        return self.user.partition("-")[0]


class Part:
    """A process that is killed and starts again as it was."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def restart(self, away_s: float = 0.0) -> None:
        """Kill it, and start it again after a while."""
        self.kill()
        time.sleep(away_s)
        self._process = self._start()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class Referee(Part):
    """The referee as a test sees it; after a restart it continues with the same journal.

    Args:
        folder: the folder of the journal.
        port: the port on which it listens.
        delay_s: the delay of each response.
        upstream: the port of the server that responds; 0: the referee itself does.
        kind: the protocol, http or redis.
    """

    def __init__(self, folder: Path, port: int, delay_s: float = 0.0, upstream: int = 0, kind: str = "http") -> None:
        self.url = f"{kind}://127.0.0.1:{port}"
        self._journal = folder / f"journal of {kind}"
        self._journal.touch()
        behind = f"127.0.0.1:{upstream}" if upstream else "-"
        program = [sys.executable, "-I", __file__, str(self._journal), f"127.0.0.1:{port}", str(delay_s), behind, kind]
        super().__init__(program)

    @property
    def size(self) -> int:
        """The length of the journal, in bytes."""
        return self._journal.stat().st_size

    def lines(self, after: int = 0) -> list[Line]:
        """Return the journal from this many bytes on."""
        with self._journal.open("rb") as journal:
            journal.seek(after)
            return read(journal.read().decode())

    def answered(self) -> Counter[str]:
        """Return how many requests of each name were answered."""
        return Counter(line.name for line in self.lines() if line.answered)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def read(journal: str) -> list[Line]:
    """Return the lines of a journal."""
    columns = [line.split(" ") for line in journal.splitlines()]
    return [Line(what == "A", float(at), f"{method} {path}", user) for what, at, method, path, user in columns]


def by_method(lines: Iterable[Line]) -> Counter[str]:
    """Return the number of lines of each method, and of each Redis command, since Redis has a GET too."""
    return Counter(line.name if line.is_of_redis else line.name.partition(" ")[0] for line in lines)


def counted(records: Iterable[dict[str, Any]], figure: str) -> Counter[str]:
    """Return the sum of a figure over the names that `by_method` counts, including the set-up."""
    sums: Counter[str] = Counter()
    for record in records:
        for one in (*record["series"], *record["setup"]["series"]):
            method, name = one["method"], one["name"]
            is_of_redis = "/resp/" in name or name.startswith("key_value/")
            if one[figure] and (is_of_redis or method in METHODS):
                sums[f"{method} {method}" if is_of_redis else method] += one[figure]
    return sums


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

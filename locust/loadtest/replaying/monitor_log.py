"""MonitorLog: reads the commands in the output of Redis' MONITOR, as redis-cli prints it.

1764174000.123456 [0 127.0.0.1:52114] "JSON.SET" "cart:17" "$" "{\\"n\\": 1}"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.replaying.access_log import MAX_REQUESTS
from loadtest.settings.data_file import DataFile

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED: Final = "the output of `redis-cli MONITOR`, also with .gz, whose last line ends with a line feed"
_MAX_BYTES: Final = 512 * 1024 * 1024
_ESCAPE: Final = r'\\(?:x[0-9a-f]{2}|[\\"nrtab])'
_TEXT: Final = rf'(?:[^"\\]++|{_ESCAPE})*+'
_LINE: Final = re.compile(rf'(\d{{1,11}}\.\d{{6}}) \[(\d{{1,10}}) [^"]{{1,200}}\]((?: "{_TEXT}")++)')
_EACH_WORD, _EACH_ESCAPE = re.compile(rf' "({_TEXT})"'), re.compile(_ESCAPE)
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}


class Command(NamedTuple):
    """One command.

    Attributes:
        start_s: when Redis executed it, as a Unix time.
        db: the database number.
        words: its name and its arguments.
    """

    start_s: float
    db: int
    words: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """The name in upper case."""
        return self.words[0].decode("latin-1").upper()


class MonitorLog:
    """The commands of a log.

    Args:
        path: the path of the log.

    Attributes:
        commands: the commands, in the order of their starts.

    Raises:
        UsageError: when it cannot be read, with the number of the malformed line.
    """

    def __init__(self, path: Path) -> None:
        file = DataFile(path, most_bytes=_MAX_BYTES)
        self.commands: list[Command] = []
        for number, line in enumerate(file.lines(), 1):
            text = line.rstrip("\r\n")
            if text in {"", "OK"}:  # the first reply to MONITOR
                continue
            found = _LINE.fullmatch(text) if text.isascii() else None
            if found is None or not line.endswith("\n"):
                reason = "not a line of MONITOR's output" if line.endswith("\n") else "the file is cut in this line"
                raise file.wrong(number, 1, reason, ALLOWED)
            if len(self.commands) == MAX_REQUESTS:
                raise file.wrong(number, 1, f"more than {MAX_REQUESTS:,} commands", "a part of the log")
            words = tuple(map(_unescaped, _EACH_WORD.findall(found[3])))
            self.commands.append(Command(float(found[1]), int(found[2]), words))
        if not self.commands:
            raise file.wrong(1, 1, "no commands", ALLOWED)
        self.commands.sort(key=lambda command: command.start_s)


def _unescaped(text: str) -> bytes:
    if "\\" in text:
        text = _EACH_ESCAPE.sub(_letter, text)
    return text.encode("latin-1")


def _letter(found: re.Match[str]) -> str:
    escape = found[0][1:]
    return chr(int(escape[1:], 16)) if escape[0] == "x" else _LETTERS.get(escape, escape)

"""The output of Redis' MONITOR, line by line."""

import gzip
from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.replaying import monitor_log
from loadtest.replaying.monitor_log import Command, MonitorLog

LINES = (
    "OK\n"
    '1764174000.123457 [0 127.0.0.1:52114] "JSON.SET" "cart:17" "$" "{\\"n\\": 1}"\n'
    '1764174000.123456 [3 [::1]:52114] "get" "a b]\\x00\\xff\\\\ \\n"\n'
    '1764174001.000000 [0 lua] "incr" ""\n'
    '1764174001.000001 [0 unix:/tmp/my socket] "ping"\n'
)
COMMANDS = [
    Command(1764174000.123456, 3, (b"get", b"a b]\x00\xff\\ \n")),
    Command(1764174000.123457, 0, (b"JSON.SET", b"cart:17", b"$", b'{"n": 1}')),
    Command(1764174001.0, 0, (b"incr", b"")),
    Command(1764174001.000001, 0, (b"ping",)),
]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_commands_are_read_as_redis_executed_them(tmp_path: Path, ending: str) -> None:
    """They are in order of time, byte by byte, from any client."""
    path = tmp_path / f"a.log{ending}"
    path.write_bytes(gzip.compress(LINES.encode()) if ending else LINES.encode())
    assert MonitorLog(path).commands == COMMANDS
    assert [one.name for one in COMMANDS] == ["GET", "JSON.SET", "INCR", "PING"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (LINES[:-1], 5, "the file is cut in this line"),
        (LINES[:60], 2, "the file is cut in this line"),
        (LINES + "1764174001.000001 [0 127.0.0.1:1]\n", 6, "not a line of MONITOR's output"),
        (LINES.replace("\\x00", "\\q"), 3, "not a line of MONITOR's output"),
        (LINES.replace('"ping"', '"ping" é'), 5, "not a line of MONITOR's output"),
        ("OK\n\n", 1, "no commands"),
        ("GET / HTTP/1.1\n", 1, "not a line of MONITOR's output"),
    ],
)
def test_what_is_cut_or_none_is_one_sentence_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    """A command that lost an argument would be another command."""
    path = tmp_path / "a.log"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        MonitorLog(path)
    assert str(raised.value).startswith(f"{path}, line {line}, column 1: {reason}. Allowed: ")
    assert "\n" not in str(raised.value)


def test_too_many_commands_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused before they fill the memory."""
    monkeypatch.setattr(monitor_log, "MAX_REQUESTS", 3)
    path = tmp_path / "a.log"
    path.write_text(LINES)
    with pytest.raises(UsageError, match=r"line 5, column 1: more than 3 commands"):
        MonitorLog(path)

"""The commands of MONITOR's output that are replayed, against a real Redis with its list of commands."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from loadtest.cli import main
from loadtest.exceptions import ExitCode, StackError, UsageError
from loadtest.local.process import free_port
from loadtest.replaying.monitor_replay import MonitorReplay, key_places
from loadtest.replaying.replay import Selection

SENT = (
    '"GET" "cart:17"', '"set" "cart:18:open" "x"', '"JSON.GET" "cart:17" "$.n"', '"DEL" "a" "b"',
    '"ZUNIONSTORE" "a" "1" "b"', '"EXPIRE" "a" "9"', '"SORT" "a"', '"COPY" "a" "b"',
)  # fmt: skip
LEFT_OUT = (
    '"FLUSHALL"', '"CONFIG" "SET" "dir" "/"', '"SHUTDOWN"', '"DEBUG" "SLEEP" "9"', '"AUTH" "(redacted)"', '"KEYS" "*"',
    '"EVAL" "return 1" "1" "a"', '"EVALSHA" "f00" "1" "a"', '"MULTI"', '"EXEC"', '"WATCH" "a"', '"BLPOP" "a" "0"',
    '"SUBSCRIBE" "a"', '"SPUBLISH" "a" "b"', '"MIGRATE" "127.0.0.1" "1" "a" "0" "9"', '"REPLICAOF" "no" "one"',
    '"SELECT" "1"', '"unheard.of" "a"', '"GET"', '"SWAPDB" "0" "1"', '"CLIENT" "KILL" "x"', '"PFSELFTEST"', '"XREAD"',
)  # fmt: skip


def written(folder: Path, *commands: str, db: int = 0) -> Path:
    """Write a log of one command per tenth of a second."""
    path = folder / "monitor.log"
    path.write_text("".join(f"{100 + at / 10:.6f} [{db} 127.0.0.1:1] {one}\n" for at, one in enumerate(commands)))
    return path


def test_commands_that_name_a_key_are_sent_and_no_other(redis_url: str, tmp_path: Path) -> None:
    """Administration, transactions, scripts, blocking and unknown commands are left out."""
    path = written(tmp_path, *SENT, *LEFT_OUT)
    replay = MonitorReplay.of(path, Selection(), redis_url)
    assert [b" ".join(f'"{word.decode()}"'.encode() for word in one.words).decode() for one in replay.commands] == [
        *SENT
    ]
    assert replay.sentences[0].startswith(f"{len(SENT)} of {len(SENT) + len(LEFT_OUT)} requests, from ")
    assert replay.sentences[1].startswith(f"{len(LEFT_OUT)} commands are left out: ")


def test_names_come_from_keys_and_times_from_the_log(redis_url: str, tmp_path: Path) -> None:
    """This holds at any speed; the variable part of a key is `:id`."""
    replay = MonitorReplay.of(written(tmp_path, *SENT[:3]), Selection(speed=2), redis_url)
    assert replay.names == ["replay/cart/:id", "replay/cart/:id/open", "replay/cart/:id"]
    assert [round(start_s, 6) for start_s in replay.starts_s] == [0.0, 0.05, 0.1]
    scenario, profile = replay.write(tmp_path)
    assert profile.read_text().splitlines() == ["start", "0.000000", "0.050000", "0.100000"]
    lines = scenario.with_suffix(".requests").read_bytes().splitlines()
    assert orjson.loads(lines[1]) == ["replay/cart/:id/open", "set", "cart:18:open", "x"]
    assert "scenario_of('replay', " in scenario.read_text()


def test_a_database_of_its_own_and_a_sample_are_replayed(redis_url: str, tmp_path: Path) -> None:
    """Commands of another database than the URL's are left out, and reported."""
    path = written(tmp_path, *SENT * 20, db=4)
    with pytest.raises(UsageError, match="no request is left of 160"):
        MonitorReplay.of(path, Selection(), redis_url)
    other = f"{redis_url.rpartition('/')[0]}/4"
    assert len(MonitorReplay.of(path, Selection(), other).commands) == 160
    part = MonitorReplay.of(path, Selection(share=0.3), other).commands
    assert 20 < len(part) < 80
    assert part == MonitorReplay.of(path, Selection(share=0.3), other).commands


def test_a_redis_that_is_away_is_one_sentence() -> None:
    """The error comes before anything starts."""
    with pytest.raises(StackError, match=r"does not list its commands \(.*\)\. Allowed: .* Next: "):
        key_places(f"redis://127.0.0.1:{free_port()}/0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "What to replay is not clear"),
        (["a.log", "--from-monitor", "b.log"], "What to replay is not clear"),
        (["--from-monitor", "b.log", "--from-host", "a"], "What to replay is not clear"),
        (["--from-monitor", "b.log"], "REDIS_URL is missing"),
        (["--from-monitor", "none.log", "--redis-url", "redis://127.0.0.1:1/0"], "none.log cannot be read"),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """Nothing is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_URL", raising=False)
    done = CliRunner().invoke(main, ["replay", *arguments])
    assert (done.exit_code, words in done.output) == (ExitCode.USAGE, True), done.output

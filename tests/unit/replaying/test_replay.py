"""Replays: the part of a log that is replayed, and the files that are written for a run."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtest.cli import main
from loadtest.exceptions import ExitCode, UsageError
from loadtest.replaying.replay import Replay, Selection, private_folder

NOON_S = 1769860800.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 1,000 requests in 100 s, and a few to another host."""
    lines = [{"ts": NOON_S + number / 10, "method": "GET", "uri": f"/a/{number}"} for number in range(1000)]
    path = tmp_path / "a.log"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_log_keeps_its_spacing_at_any_speed(log: Path) -> None:
    """It keeps it from its first request on."""
    replay = Replay.of(log, Selection(speed=4))
    assert [round(start_s, 6) for start_s in replay.starts_s[:3]] == [0.0, 0.025, 0.05]
    (sentence,) = replay.sentences
    assert sentence.startswith(
        "1,000 of 1,000 requests, from 2026-01-31 12:00:00 to 2026-01-31 12:01:39, under 1 names"
    )


@pytest.mark.parametrize(
    ("from_", "until"), [("10s", "30s"), ("2026-01-31T12:00:10Z", "20260131T130030+0100"), ("10", str(NOON_S + 30))]
)
def test_a_time_window(log: Path, from_: str, until: str) -> None:
    """It is given by durations since the first request, or by times."""
    replay = Replay.of(log, Selection(from_=from_, until=until))
    assert (len(replay.requests), replay.requests[0].target, replay.starts_s[0]) == (200, "/a/100", 0.0)


def test_a_sample_is_by_chance_and_the_same_each_time(log: Path) -> None:
    """Every tenth request could be all of one kind."""
    chosen = [request.target for request in Replay.of(log, Selection(share=0.1)).requests]
    assert 60 < len(chosen) < 140
    assert chosen == [request.target for request in Replay.of(log, Selection(share=0.1)).requests]


def test_requests_of_several_hosts_are_refused_until_one_is_named(log: Path) -> None:
    """Requests to a service that counts visits, for example, are not load of this service."""
    with log.open("a") as file:
        for host in ("shop.example", "shop.example", "ads.example"):
            file.write(json.dumps({"ts": NOON_S, "method": "GET", "uri": "/b", "host": f"{host}:443"}) + "\n")
    with pytest.raises(UsageError, match=r"has requests to 3 hosts: none \(1,000\), shop\.example \(2\), ads\.example"):
        Replay.of(log, Selection())
    with pytest.raises(UsageError, match=r"has no request to other\.example"):
        Replay.of(log, Selection(hosts=("other.example",)))
    assert [each.target for each in Replay.of(log, Selection(hosts=("Shop.example",))).requests] == ["/b", "/b"]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(from_="1h"), "no request is left of 1,000"),
        (Selection(until="soon"), "--until=soon is neither a duration nor a time"),
        (Selection(speed=0.0001), "the replay would take 999,000 s"),
    ],
)
def test_what_cannot_be_replayed(log: Path, selection: Selection, words: str) -> None:
    """The error says what to change."""
    with pytest.raises(UsageError, match=words):
        Replay.of(log, selection)


def test_its_files_are_private_and_removed(log: Path, tmp_path: Path) -> None:
    """A log contains users' requests and tokens; two concurrent replays would otherwise remove each other's files."""
    with private_folder(tmp_path / "runs", log) as folder:
        Replay.of(log, Selection()).write(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert sorted(path.name for path in folder.iterdir()) == ["replay.csv", "replay.py", "replay.requests"]
        with pytest.raises(UsageError, match="cannot be used"), private_folder(tmp_path / "runs", log):
            pass
    assert [*(tmp_path / "runs").iterdir()] == []
    with private_folder(tmp_path / "runs", log) as again:
        assert again == folder


def test_a_link_that_somebody_left_there_is_not_followed(log: Path, tmp_path: Path) -> None:
    """A runs folder from elsewhere may contain a link with the name of a file that is written."""
    (tmp_path / "mine").write_text("precious")
    with private_folder(tmp_path / "runs", log) as folder:
        """Its name is known now."""
    folder.mkdir()
    (folder / "replay.py").symlink_to(tmp_path / "mine")
    with private_folder(tmp_path / "runs", log):
        Replay.of(log, Selection()).write(folder)
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_folder_with_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    """A subfolder is not removed, and there is no traceback."""
    log = tmp_path / "access.log"
    with private_folder(tmp_path / "runs", log) as folder:
        pass
    (folder / "kept").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be used"), private_folder(tmp_path / "runs", log):
        pass
    assert (folder / "kept").is_dir()


def test_a_replay_goes_nowhere_without_a_host(log: Path) -> None:
    """The log's own host is production."""
    done = CliRunner(env={"LOADTEST_HOST": ""}).invoke(main, ["replay", str(log)])
    assert (done.exit_code, "HOST is missing" in done.output) == (ExitCode.USAGE, True)

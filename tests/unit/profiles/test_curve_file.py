"""Measured load as a profile: rates of a CSV file or of Prometheus, and single arrivals."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.exceptions import UsageError
from loadtest.profiles.curve import Stage
from loadtest.profiles.curve_file import MAX_RATES, CurveFile
from loadtest.profiles.load import LoadFactory
from loadtest.profiles.profile import LoadProfile
from loadtest.settings.config import Config

RATES = (Stage(10.0, 5.0, "step"), Stage(20.0, 0.0, "step"), Stage(20.0, 7.5, "step"))


def answer(*values: Any, kind: str = "matrix", series: int = 1) -> str:
    """Return a response of Prometheus."""
    result = [{"metric": {}, "values": list(values)} for _ in range(series)]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "time,rate\n0,5\n10,0\n30,7.5\n"),
        ("a.csv", "\ufeffTime;Value\r\n1769860800;5\r\n1769860810;0\r\n1769860830;7.5\r\n"),
        ("a.csv", "t,r\n1769860800000,5\n1769860810000,0\n1769860830000,7.5"),
        ("a.csv", 't,r\n2026-01-31T12:00:00Z,5\n"2026-01-31 12:00:10",0\n2026-01-31T13:00:30+01:00,7.5\n'),
        ("a.json", answer([1769860800, "5"], [1769860810.0, "0"], [1769860830, "7.5"])),
    ],
)
def test_a_rate_holds_until_the_next_time(tmp_path: Path, name: str, text: str) -> None:
    """This holds for any format of the times, and any separator of the columns."""
    (tmp_path / name).write_text(text)
    assert CurveFile(tmp_path / name).stages == RATES


def test_single_arrivals_are_at_their_times(tmp_path: Path) -> None:
    """Times count from the first one; simultaneous arrivals come one after the other, and the stages have as many."""
    path = tmp_path / "starts.csv.gz"
    path.write_bytes(gzip.compress(b"start\n100.5\n100.5\n101\n103.25\n"))
    profile = LoadProfile.of(Config(profile=str(path)))
    assert np.frombuffer(profile.starts, "<f8").tolist() == [0.0, 1e-6, 0.5, 2.75]
    assert (round(profile.curve.total, 6), profile.run_time_s > 2.75, profile.name) == (4.0, True, "starts")
    faster = LoadProfile.of(Config(profile=str(path), run_time=profile.run_time_s / 2))
    assert np.frombuffer(faster.starts, "<f8").tolist() == [0.0, 5e-7, 0.25, 1.375]
    with pytest.raises(UsageError, match="RATE=5 does not apply to PROFILE=starts"):
        LoadProfile.of(Config(profile=str(path), rate=5))


def test_one_arrival_is_load_too(tmp_path: Path) -> None:
    """It is a second of load."""
    (tmp_path / "one.csv").write_text("start\n7\n")
    assert CurveFile(tmp_path / "one.csv").stages == (Stage(1.0, 1.0, "step"),)


def test_the_load_of_a_run_can_be_a_file(tmp_path: Path) -> None:
    """As for any open-model profile, its rate and its users can be set, and the web UI can start it."""
    path = tmp_path / "noon.csv"
    path.write_text("time,rate\n0,5\n10,0\n30,7.5\n")
    profile = LoadProfile.of(Config(profile=str(path)))
    assert (profile.model, profile.stages, profile.max_users) == ("open", RATES, 100)
    changed = LoadProfile.of(Config(profile=str(path), rate=15, users=9))
    assert ([stage.level for stage in changed.stages], changed.max_users) == ([10.0, 0.0, 15.0], 9)
    factory = LoadFactory(Config(profile=str(path)), [])
    assert factory.texts["load_profile"] in factory.choices


WRONG: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "line 1, column 1: not a header row"),
    "header only": ("a.csv", "time,rate\n", "line 1, column 1: no load"),
    "no header": ("a.csv", "0,5\n1,6\n", "line 1, column 1: not a header row"),
    "three columns": ("a.csv", "a,b,c\n1,2,3\n", "line 1, column 1: not a header row"),
    "not a time": ("a.csv", "t,r\n0,5\nnoon,6\n", "line 3, column 1: 'noon' is not a time"),
    "infinite time": ("a.csv", "t\ninf\n", "line 2, column 1: 'inf' is not a time"),
    "not a rate": ("a.csv", "t,r\n0,5\n10,many\n", "line 3, column 4: 'many' is not a rate"),
    "NaN": ("a.json", answer([1, "5"], [2, "NaN"]), "'NaN' is not a rate"),
    "negative": ("a.csv", "t,r\n0,5\n1,-6\n", "line 3, column 3: '-6' is not a rate"),
    "not ascending": ("a.csv", "t,r\n5,1\n5,1\n", "line 3, column 1: the time '5' is not after the one before"),
    "arrivals not ascending": ("a.csv", "t\n5\n4\n", "line 3, column 1: the time '4' is not after"),
    "all zero": ("a.csv", "t,r\n0,0\n1,0\n", "every rate is 0"),
    "one rate": ("a.csv", "t,r\n0,5\n", "a single rate"),
    "too long": ("a.csv", "t,r\n0,5\n604801,1\n", "it lasts"),
    "too many": ("a.csv", "t,r\n" + "".join(f"{n},1\n" for n in range(MAX_RATES + 1)), "more than 10,000 rows"),
    "missing value": ("a.csv", "t,r\n0,5\n1\n", "line 3, column 1: 1 values"),
    "not UTF-8": ("a.csv", b"t,r\n0,5\n1,\xff\n", "line 3, column 3: byte 0xff is not UTF-8"),
    "JSON not UTF-8": ("a.json", b'{"a": "\xff"}', "line 1, column 8: byte 0xff is not UTF-8"),
    "not JSON": ("a.json", '{"a":\n 1,}', "line 2, column 4: not JSON"),
    "deep": ("a.json", "[" * 1000, "nested more than 64 times"),
    "instant query": ("a.json", answer([1, "5"], kind="vector"), "not the response to a range query"),
    "error of Prometheus": ("a.json", '{"status":"error"}', "not the response to a range query"),
    "two series": ("a.json", answer([1, "5"], [2, "5"], series=2), "the answer holds 2 series"),
    "no series": ("a.json", answer(series=0), "the answer holds 0 series"),
    "no pair": ("a.json", answer([1, "5"], 7), "'7' is not a pair of time and value"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    """One sentence, with the allowed values and the next step."""
    name, content, words = WRONG[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as refused:
        CurveFile(tmp_path / name)
    text = str(refused.value)
    assert (words in text, "Allowed: " in text, "Next: " in text, "\n" in text) == (True, True, True, False), text


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, str], ids=["folder", "pipe", "missing"])
@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """The command does not wait for it."""
    make(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read"):
        CurveFile(tmp_path / name)

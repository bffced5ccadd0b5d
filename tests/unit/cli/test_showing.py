"""The commands that only show something: the profiles."""

import json
from pathlib import Path

from loadtest.profiles.profile import read_profiles

from .invoking import invoke


def test_profiles_are_listed_as_plain_lines() -> None:
    """Without a terminal there is one line for each profile."""
    lines = invoke("profiles").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(read_profiles())


def test_profiles_of_ones_own_file_are_listed_too(tmp_path: Path) -> None:
    """--profiles-file adds profiles, and --json gives every number."""
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nrate_per_s = 7\nmax_users = 3\nrun_time = "5s"\n')
    *_, mine = json.loads(invoke("profiles", "--profiles-file", str(file), "--json").stdout)
    assert (
        mine["name"],
        mine["model"],
        mine["run_time_s"],
        mine["stages"][0]["level"],
    ) == ("mine", "open", 5.0, 7.0)

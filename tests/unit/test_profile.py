"""LoadProfile: the named profiles, single values replaced, and wrong files."""

from pathlib import Path

import pytest

from loadtest.config import Config
from loadtest.exceptions import UsageError
from loadtest.profile import LoadProfile, read_profiles

NAMED = {
    "smoke": (1, 1, 10),
    "quick": (10, 10, 60),
    "medium": (50, 10, 300),
    "stress": (100, 10, 600),
    "normal": (50, 10, 300),
    "heavy": (100, 20, 600),
    "spike": (200, 50, 900),
    "baseline": (100, 10, 300),
    "login-stress": (500, 50, 600),
    "breaking-point": (1000, 100, 900),
}


def config(**options: object) -> Config:
    """Return a Config of these options alone."""
    return Config.load(options, environ={}, file=Path("/nonexistent"))


def test_shipped_profiles_carry_the_numbers_people_know() -> None:
    """The named profiles hold the users, the rates and the lengths that they are known for."""
    shipped = {name: (p.users, p.spawn_rate_per_s, p.run_time) for name, p in read_profiles().items()}
    assert NAMED == shipped


def test_single_values_replace_the_profiles() -> None:
    """USERS, SPAWN_RATE and RUN_TIME each replace one value of the profile."""
    profile = LoadProfile.of(config(profile="stress", users=7, run_time="20s"))
    assert LoadProfile(users=7, spawn_rate_per_s=10, run_time=20) == profile


def test_unknown_profile_names_the_nearest() -> None:
    """A mistyped profile is answered with the one that was meant."""
    with pytest.raises(UsageError, match=r"PROFILE=quik is not known\. .*did you mean quick\?"):
        LoadProfile.of(config(profile="quik"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[a]\nusers = 0\nspawn_rate_per_s = 1\nrun_time = "1m"', r"\[a\] users = 0"),
        ('[a]\nusers = 1\nspawn_rate_per_s = nan\nrun_time = "1m"', r"\[a\] spawn_rate_per_s = nan"),
        ('[a]\nusers = 1\nspawn_rate_per_s = 1\nrun_time = "x"', r"\[a\] run_time = 'x'"),
        ("[a]\nusers = 1\nspawn_rate_per_s = 1", r"\[a\] run_time .*Field required"),
        ('[a]\nusers = 1\nspawn_rate_per_s = 1\nrun_time = "1m"\nuser = 1', r"\[a\] user = 1 .*exactly the keys"),
        ("a = 1", r"\[a\]"),
        ("[a", "is not TOML"),
    ],
)
def test_wrong_file_points_at_the_key(tmp_path: Path, text: str, expected: str) -> None:
    """A wrong profile file is refused with the file, the profile and the key."""
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=expected) as caught:
        read_profiles(file)
    assert str(file) in str(caught.value)


def test_all_wrong_values_are_reported_together(tmp_path: Path) -> None:
    """Two wrong profiles are two sentences of one error."""
    file = tmp_path / "profiles.toml"
    file.write_text('[a]\nusers = 0\nspawn_rate_per_s = 0\nrun_time = "1m"\n[b]\nusers = 1\nrun_time = "1m"\n')
    with pytest.raises(UsageError) as caught:
        read_profiles(file)
    assert 3 == len(str(caught.value).splitlines())


def test_missing_file_says_where_to_run() -> None:
    """Outside of the project's folder the error says so."""
    with pytest.raises(UsageError, match=r"cannot be read .*run from the project's folder"):
        read_profiles(Path("/nonexistent/profiles.toml"))

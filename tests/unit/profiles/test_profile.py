"""LoadProfile: the named profiles, single values replaced, and wrong files."""

from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.profiles.profile import LoadProfile, all_profiles, read_profiles
from loadtest.profiles.think_time import ThinkTime
from loadtest.settings.config import Config

NAMED = {
    "smoke": (1, 1, 30),
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
OPEN = '[a]\nmax_users = 100\nrate_per_s = 10\nrun_time = "10s"\n'
CLOSED = '[a]\nusers = 1\nspawn_rate_per_s = 1\nrun_time = "1m"\n'


def config(**options: object) -> Config:
    """Return a Config of these options alone."""
    return Config.load(options, environ={}, file=Path("/nonexistent"))


def profile_of(tmp_path: Path, text: str) -> LoadProfile:
    """Return the profile [a] of a file with that text."""
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    return read_profiles(file)["a"]


def problems_of(tmp_path: Path, text: str) -> list[str]:
    """Return the lines of the error that a file with that text gives."""
    with pytest.raises(UsageError) as caught:
        profile_of(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_shipped_profiles_carry_the_numbers_people_know() -> None:
    """The named profiles of one level have the users, rates and lengths they are known for."""
    shipped = {
        name: (p.peak_users, p.spawn_rate_per_s, p.run_time_s) for name, p in read_profiles().items() if p.is_flat
    }
    assert shipped == NAMED


def test_shipped_profiles_include_stages_and_both_models() -> None:
    """Besides the profiles of one level there are a soak, a ramp, and two of the open model."""
    staged = {name: p.model for name, p in read_profiles().items() if not p.is_flat}
    expected = {"soak": "closed", "ramp": "closed", "constant-arrival-rate": "open", "ramping-arrival-rate": "open"}
    assert staged == expected


def test_a_step_takes_the_time_that_the_spawn_rate_needs() -> None:
    """10 users at 10 per second are 5 after half a second, 10 from the first second on, and none after the end."""
    quick = read_profiles()["quick"]
    assert [quick.users_at(t) for t in (-1, 0.5, 1, 59.9, 60)] == [0, 5, 10, 10, 0]


def test_stages_ramp_from_the_level_before(tmp_path: Path) -> None:
    """Linear is a straight line, smooth half of it in the middle and less at the start, and a repeated level a hold."""
    text = (
        '[a]\nstages = [\n  { users = 100, duration = "10s" },\n  { users = 100, duration = "5s" },\n'
        '  { users = 0, duration = "10s", ramp = "smooth" },\n]\n'
    )
    profile = profile_of(tmp_path, text)
    assert [profile.users_at(t) for t in (0, 5, 10, 12, 17, 20, 24.9999)] == [0, 50, 100, 100, 90, 50, 0]
    assert (profile.run_time_s, profile.peak_users, profile.peak_rate_per_s) == (25.0, 100, 0.0)


def test_the_number_of_arrivals_is_the_exact_integral_of_the_rate(tmp_path: Path) -> None:
    """A ramp from 0 to 10 per second in 10 s makes 50 arrivals due, a hold of 10 s 100 more, a smooth fall 55."""
    text = (
        "[a]\nmax_users = 5\nstages = [\n"
        '  { rate_per_s = 10, duration = "10s" },\n  { rate_per_s = 10, duration = "10s" },\n'
        '  { rate_per_s = 1, duration = "10s", ramp = "smooth" },\n]\n'
    )
    profile = profile_of(tmp_path, text)
    assert pytest.approx([profile.curve.integral_to(t) for t in (-1, 5, 10, 15, 20, 30, 99)]) == [
        0,
        12.5,
        50,
        100,
        150,
        205,
        205,
    ]
    assert pytest.approx([profile.curve.time_of(n) for n in (0, 12.5, 50, 100, 150, 205)]) == [0, 5, 10, 15, 20, 30]
    assert profile.curve.time_of(205.001) == float("inf")


def test_single_values_replace_the_profiles() -> None:
    """USERS, SPAWN_RATE and RUN_TIME each replace one value of a single-level profile."""
    profile = LoadProfile.of(config(profile="stress", users=7, run_time="20s"))
    assert (profile.peak_users, profile.spawn_rate_per_s, profile.run_time_s) == (7, 10, 20)
    assert LoadProfile.of(config(profile="stress", spawn_rate=2)).users_at(1) == 2


def test_run_time_and_users_keep_the_shape_of_stages() -> None:
    """RUN_TIME and USERS scale every stage: a tenth of the ramp is a tenth everywhere."""
    whole, tenth = read_profiles()["ramp"], LoadProfile.of(config(profile="ramp", users=10, run_time="1m"))
    assert [tenth.users_at(t) for t in (0, 15, 30, 48)] == [whole.users_at(t) / 10 for t in (0, 150, 300, 480)]
    assert tenth.run_time_s == 60


def test_rate_and_users_of_an_open_profile() -> None:
    """RATE scales the rates to a new peak; USERS is the maximum of the pool, which also limits pre-allocated users."""
    profile = LoadProfile.of(config(profile="ramping-arrival-rate", rate=20, users=4))
    assert (profile.curve.level_at(0), profile.peak_rate_per_s, profile.peak_users, profile.users_at(0)) == (
        2,
        20,
        4,
        4,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"profile": "quick", "rate": 5}, r"RATE=5 does not apply to PROFILE=quick, .*closed.*constant-arrival-rate"),
        ({"profile": "constant-arrival-rate", "spawn_rate": 5}, r"SPAWN_RATE=5 does not apply .*open"),
        ({"run_time": "20s", "warm_up": "20s"}, r"WARM_UP=20s leaves nothing to judge in a run of 20 s\."),
        ({"profile": "quik"}, r"PROFILE=quik is not known\. .*did you mean quick\?"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict[str, object], expected: str) -> None:
    """A rate for users, a spawn rate for arrivals and the like are errors with suggestions."""
    with pytest.raises(UsageError, match=expected):
        LoadProfile.of(config(**options))


def test_own_profiles_add_to_the_shipped_ones(tmp_path: Path) -> None:
    """A custom file adds profiles, and overrides shipped ones of the same name."""
    file = tmp_path / "mine.toml"
    file.write_text('[quick]\nusers = 3\nrun_time = "5s"\n[mine]\nusers = 4\nrun_time = "5s"\n')
    profiles = all_profiles(file)
    assert tuple(profiles[name].peak_users for name in ("quick", "mine", "stress")) == (3, 4, 100)
    assert LoadProfile.of(config(profile="mine", profiles_file=file)).peak_users == 4


def test_think_time_is_one_duration_or_two_bounds(tmp_path: Path) -> None:
    """A single duration is both bounds; a list has the shortest and the longest."""
    assert profile_of(tmp_path, CLOSED + 'think_time = "1s"\n').think_time == ThinkTime(1.0, 1.0)
    assert profile_of(tmp_path, CLOSED + 'think_time = ["1s", "3s"]\n').think_time == ThinkTime(1.0, 3.0)


def test_defaults_of_the_open_model(tmp_path: Path) -> None:
    """Arrivals are even, the seed is 1, and a tenth of the pool exists from the start."""
    profile = profile_of(tmp_path, OPEN)
    assert (profile.arrivals, profile.seed, profile.pre_allocated_users, profile.curve.level_at(0)) == (
        "even",
        1,
        10,
        10.0,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLOSED.replace("users = 1", "users = 0"), "profiles.toml, line 2: [a] users = 0 is not allowed."),
        (CLOSED.replace("_s = 1", "_s = nan"), "profiles.toml, line 3: [a] spawn_rate_per_s = nan is not allowed."),
        (CLOSED.replace('"1m"', '"x"'), "profiles.toml, line 4: [a] run_time = 'x' is not allowed."),
        ("[a]\nusers = 1\n", "profiles.toml, line 1: [a] run_time is missing."),
        (CLOSED + "user = 1\n", "profiles.toml, line 5: [a] user is not a key of a profile of the closed model."),
        ("a = 1", "profiles.toml, line 1: [a] is 1. Allowed: a table with"),
        (OPEN + 'think_time = "1s"', "profiles.toml, line 5: [a] think_time is not a key of a profile of the open"),
        (OPEN.replace("= 10\n", "= 0\n"), "profiles.toml, line 3: [a] rate_per_s = 0 is not allowed. Allowed: a num"),
        (OPEN.replace("= 10\n", "= nan\n"), "profiles.toml, line 3: [a] rate_per_s = nan is not allowed."),
        (OPEN.replace("= 10\n", "= inf\n"), "profiles.toml, line 3: [a] rate_per_s = inf is not allowed."),
        (OPEN + "pre_allocated_users = 101", "profiles.toml, line 5: [a] pre_allocated_users = 101 is more than max_u"),
        (OPEN + 'arrivals = "odd"', "profiles.toml, line 5: [a] arrivals = 'odd' is not allowed. Allowed: even or poi"),
        (CLOSED + 'think_time = ["3s", "1s"]', "profiles.toml, line 5: [a] think_time = ['3s', '1s'] is not allowed."),
        (CLOSED + 'think_time = ["3s"]', "profiles.toml, line 5: [a] think_time = ['3s'] is not allowed."),
        ("[a]\nstages = []", "profiles.toml, line 2: [a] stages = [] is not allowed. Allowed: 1 to 1000 tables"),
        ("[a]\nstages = 3", "profiles.toml, line 2: [a] stages = 3 is not allowed."),
        (
            '[a]\nstages = [\n  { users = 0, duration = "1s" },\n]',
            "profiles.toml, line 1: [a] has 0 users in every stage.",
        ),
        (
            '[a]\nstages = [\n  { users = 1, duration = "1s" },\n  { users = 1, duration = "-5s" },\n]',
            "profiles.toml, line 4: [a] stage 2, duration = '-5s' is not allowed. Allowed: a duration above 0",
        ),
        (
            '[a]\nstages = [{ users = -1, duration = "1s" }]',
            "profiles.toml, line 2: [a] stage 1, users = -1 is not allowed. Allowed: a whole number from 0 to 1000000.",
        ),
        ("[a]\nstages = [1]", "profiles.toml, line 2: [a] stage 1, stages = 1 is not allowed."),
        (
            '[[a.stages]]\nusers = 1\nduration = "1s"\n[[a.stages]]\nusers = 1\nduration = -5',
            "profiles.toml, line 6: [a] stage 2, duration = -5 is not allowed.",
        ),
        (
            '[a]\nstages = [{ users = 1, duration = "30s" }, { users = 2, start = "20s", duration = "9s" }]',
            "profiles.toml, line 2: [a] stage 2 starts at 20 s, before stage 1 ends at 30 s: they overlap.",
        ),
        (
            '[a]\nstages = [{ users = 1, duration = "30s", start = "1s" }]',
            "profiles.toml, line 2: [a] stage 1 starts at 1 s. Allowed: the first at 0 s.",
        ),
        (
            '[a]\nstages = [{ users = 1, duration = "30s", ramp = "cubic" }]',
            "profiles.toml, line 2: [a] stage 1, ramp = 'cubic' is not allowed. Allowed: step, linear, smooth.",
        ),
        (
            '[a]\nmax_users = 1\nstages = [{ users = 1, duration = "30s", rate_per_s = 2 }]',
            "profiles.toml, line 3: [a] stage 1, users is not a key of a stage of the open model. Allowed: duration,",
        ),
        ("[a", "profiles.toml is not TOML: "),
    ],
)
def test_wrong_file_points_at_file_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    """A wrong profile is refused with file, line, profile, stage, key and value, and what is allowed."""
    (problem,) = problems_of(tmp_path, text)
    assert problem[: len(expected)] == expected
    assert "Next: " in problem


def test_all_wrong_values_are_reported_together(tmp_path: Path) -> None:
    """Wrong values of two profiles are sentences of one error, each with its line."""
    text = '[a]\nusers = 0\nspawn_rate_per_s = 0\nrun_time = "1m"\n[b]\nusers = 1\nrun_time = "x"\n'
    assert [line.split(", ")[1][:6] for line in problems_of(tmp_path, text)] == ["line 2", "line 3", "line 7"]


def test_a_gap_between_stages_holds_the_level(tmp_path: Path) -> None:
    """If a stage starts later than its predecessor ends, the level is held until then."""
    text = '[a]\nstages = [{ users = 10, duration = "10s" }, { users = 20, start = "20s", duration = "10s" }]'
    profile = profile_of(tmp_path, text)
    assert [profile.users_at(t) for t in (10, 19, 25)] == [10, 10, 15]


def test_a_missing_file_is_named() -> None:
    """The error comes before anything starts."""
    with pytest.raises(UsageError, match=r"/nonexistent/profiles.toml cannot be read .*correct the name"):
        read_profiles(Path("/nonexistent/profiles.toml"))

"""Load that was planned and did not come, and load beyond the plan."""

import time
from dataclasses import replace
from typing import Any

import pytest

from loadtest.judging import plan
from loadtest.judging.record_checks import violations
from loadtest.measuring.collector import Collector
from loadtest.measuring.health import Health
from loadtest.measuring.labels import ITERATION
from loadtest.measuring.measurements import Accumulator
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import read_profiles
from loadtest.reporting import provenance
from loadtest.settings.config import Config

PROFILES = read_profiles()


def record_of(profile: str, users: dict[int, int], **changes: Any) -> RunRecord:
    """A record of 20 s under a profile, with these users by second."""
    stages = (Stage(20.0, changes.pop("level", 10.0), "step"),)
    made = replace(PROFILES[profile], stages=stages, **changes)
    record = RunRecord(context={"plan": provenance.plan(made)}, load_s=20.0)
    record.note(0.4, "start", "load begins")
    for second, count in users.items():
        record.timeline.set_users(second, count)
    return record


ALL = dict.fromkeys(range(20), 10)


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (ALL, 0.0),
        ({**ALL, 0: 0, 1: 3, 2: 7, 3: 9}, 0.0),  # a ramp that is two seconds late
        ({**ALL, **dict.fromkeys(range(10, 20), 5)}, 0.29),  # half of them gone for half of the time
        (dict.fromkeys(range(20), 2), 0.8),
        (dict.fromkeys(range(20), 0), 1.0),
    ],
)
def test_users_that_were_not_there_are_a_share_of_the_plan(users: dict[int, int], expected: float) -> None:
    """A little lateness is tolerated; missing users count by the second."""
    assert plan.shortfall(record_of("quick", users, spawn_rate_per_s=10.0)).ratio == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("level", "running"), [(1.4, 1), (1.6, 2), (0.4, 0)])
def test_a_level_between_whole_users_is_the_nearest(level: float, running: int) -> None:
    """USERS scales a profile's stages to fractions of users, which cannot be started."""
    record = record_of("quick", dict.fromkeys(range(20), running), level=level)
    assert plan.shortfall(record).ratio == 0.0


@pytest.mark.parametrize(
    ("users", "later", "expected"),
    [
        (4, 4, 0.0),  # a person lowered them, and they are as many as that
        (4, 0, 0.27),  # and then they disappear
        (20, 10, 0.25),  # a person raised them, and they never started
        (20, 20, 0.0),
    ],
)
def test_users_that_a_person_changes_are_the_plan_from_then_on(users: int, later: int, expected: float) -> None:
    """The change is at ten seconds, by ten per second; the record notes it."""
    record = record_of("quick", {**ALL, **dict.fromkeys(range(11, 20), later)}, spawn_rate_per_s=10.0)
    plan.change_users(record, 10.4, users, 10.0)
    assert plan.shortfall(record).ratio == pytest.approx(expected, abs=0.05)
    [event] = [event for event in record.events if event.kind == "users"]
    assert event.text == f"the number of users was changed to {users}, at 10 per second"


def test_a_change_of_the_users_is_none_of_the_arrivals() -> None:
    """In the open model it is a limit, and is called so."""
    record = record_of("constant-arrival-rate", ALL)
    before = record.context["plan"]
    plan.change_users(record, 10.4, 4, 10.0)
    assert record.context["plan"] == before
    assert record.events[-1].text == "the largest number of users was changed to 4, at 10 per second"


@pytest.mark.parametrize(
    ("rates", "begun", "expected"),
    [
        ({10.4: 30.0}, 400, 0.0),  # 10 per second for ten seconds, then 30
        ({10.4: 30.0}, 200, 0.5),  # the added arrivals never began
        ({10.4: 2.0}, 120, 0.0),
        ({5.4: 30.0, 15.4: 10.0}, 400, 0.0),
        ({19.9: 100.0}, 245, 0.0),  # between the last stored level and the end
    ],
)
def test_a_rate_that_a_person_changes_is_the_plan_from_then_on(
    rates: dict[float, float], begun: int, expected: float
) -> None:
    """This holds to the end of the profile; the record notes the change."""
    record = record_of("constant-arrival-rate", ALL)
    for second, rate_per_s in rates.items():
        plan.change_rate(record, second, rate_per_s)
    recorder = Recorder()
    recorder.begun("shop")[len] += begun
    record.add(recorder.take(), 0)
    assert plan.shortfall(record).ratio == pytest.approx(expected, abs=0.01)
    parts = zip([0.4, *rates], [*rates, 20.4], [10.0, *rates.values()], strict=True)
    total = sum((end - at) * rate for at, end, rate in parts)
    assert record.context["plan"]["arrivals_total"] == pytest.approx(total)
    assert [event.text for event in record.events if event.kind == "rate"] == [
        f"the arrival rate was changed to {rate_per_s:g} per second" for rate_per_s in rates.values()
    ]


def test_a_ramp_that_is_longer_than_the_run_never_reaches_its_level() -> None:
    """128 users at 4 per second take 32 s; in 20 s there are 80 of them, however punctual they are."""
    users = {second: 4 * (second + 1) for second in range(20)}
    missing = plan.shortfall(record_of("quick", users, level=128.0, spawn_rate_per_s=4.0))
    assert missing.ratio == pytest.approx(1 - 80 / 128)
    assert missing.what == "at 4 users per second the run reached 80 of the 128 requested users"


@pytest.mark.parametrize(
    ("begun", "dropped", "expected"), [(200, 0, 0.0), (150, 50, 0.0), (150, 0, 0.0), (100, 0, 0.5)]
)
def test_arrivals_that_were_neither_begun_nor_dropped_are_missing(begun: int, dropped: int, expected: float) -> None:
    """Of 200 arrivals about fifty may be missing by chance if their times are random."""
    record = record_of("constant-arrival-rate", ALL)
    recorder = Recorder()
    recorder.begun("shop")[len] += begun
    recorder.drop_iterations("shop", dropped)
    record.add(recorder.take(), 0)
    assert plan.shortfall(record).ratio == pytest.approx(expected)


@pytest.mark.parametrize(("made", "expected"), [(200, None), (250, None), (300, 0.5), (1200, 5.0)])
def test_iterations_beyond_the_arrivals_are_a_surplus(made: int, expected: float | None) -> None:
    """Of 200 arrivals about fifty may be too many by chance if their times are random."""
    record = record_of("constant-arrival-rate", ALL)
    recorder = Recorder()
    iterations = recorder.series("shop", "", "", ITERATION)
    for _ in range(made):
        iterations.success(1.0, 1.0, 1.1, 0)
    record.add(recorder.take(), 0)
    found = plan.surplus(record)
    assert (found and found.ratio) == pytest.approx(expected) if expected else found is None
    assert [one.rule for one in violations(record) if one.rule == "load_exceeded"] == ["load_exceeded"] * bool(expected)


@pytest.mark.parametrize("seconds", [10, 20])
def test_a_run_that_goes_on_has_no_surplus(seconds: int) -> None:
    """The iterations so far match the plan so far; a shortfall in the last seconds may be a late report."""
    record = record_of("constant-arrival-rate", dict.fromkeys(range(seconds), 10), level=100.0)
    record.load_s = None
    recorder = Recorder()
    recorder.begun("shop")[len] += 100 * seconds
    iterations = recorder.series("shop", "", "", ITERATION)
    for _ in range(100 * seconds):
        iterations.success(1.0, 1.0, 1.1, 0)
    record.add(recorder.take(), 0)
    assert plan.surplus(record) is None
    assert plan.shortfall(record).ratio == 0
    for _ in range(50 * seconds):
        iterations.success(1.0, 1.0, 1.1, 0)
    record.add(recorder.take(), 0)
    assert plan.surplus(record) is not None


def test_a_run_that_is_broken_off_at_once_has_no_surplus() -> None:
    """Its plan is a fraction of an arrival by then; a run of the closed model has none, either."""
    record = record_of("constant-arrival-rate", ALL)
    record.load_s = 0.00004
    recorder = Recorder()
    recorder.series("shop", "", "", ITERATION).success(1.0, 1.0, 1.1, 0)
    record.add(recorder.take(), 0)
    assert plan.surplus(record) is None
    assert plan.surplus(record_of("quick", ALL)) is None


@pytest.mark.parametrize(
    ("stages", "peak", "expected"),
    [
        ([(20.0, 10.0, "step")], 10, False),
        ([(20.0, 10.0, "linear"), (20.0, 10.0, "linear"), (20.0, 0.0, "linear")], 10, False),  # a ramp-down
        ([(20.0, 10.0, "step"), (20.0, 0.0, "step")], 10, True),
        ([(20.0, 10.0, "step"), (20.0, 100.0, "step")], 4, True),  # 10 of 100 users are 0.4 of 4
        ([(20.0, 10.0, "step"), (20.0, 100.0, "step")], 5, False),
    ],
)
def test_a_plan_that_asks_for_nothing_for_a_while_is_noted(stages: list, peak: int, expected: bool) -> None:
    """This also applies where USERS leaves a stage less than one user."""
    whole = replace(PROFILES["quick"], stages=tuple(Stage(*stage) for stage in stages))
    scaled = whole.changed_by(Config(users=peak))
    found = list(plan.notes(RunRecord(context={"plan": provenance.plan(scaled)})))
    assert [note.partition(":")[0] for note in found] == ["the profile has no users for 20 s"] * expected


@pytest.mark.parametrize(
    ("took_s", "expected"), [([2.9] * 10, 0.0), ([3.5] * 10, 0.025), ([13.0] * 9, 0.45), ([19.5], 0.0825)]
)
def test_users_that_are_long_in_their_on_start_are_missing(took_s: list[float], expected: float) -> None:
    """They run without load: only the time beyond a user's permitted lateness counts."""
    record, recorder = record_of("quick", ALL, spawn_rate_per_s=10.0), Recorder()
    for one_s in took_s:
        recorder.on_started(None, time.perf_counter() - one_s)
    record.add(recorder.take(), 5)
    missing = plan.shortfall(record)
    assert missing.ratio == pytest.approx(expected, abs=0.02)
    assert ("users took up to 13.0 s for on_start" in missing.what) is (took_s[0] == 13.0)
    assert record.requests == 0


def test_without_a_plan_nothing_is_missing() -> None:
    """A capacity search has no plan."""
    assert plan.shortfall(RunRecord(context={"plan": None})).ratio == 0.0


def shaped(ticks: list[tuple[int, float] | None], running: int | None = None) -> RunRecord:
    """A record of a load shape that was called once a second, and the users that Locust could start."""
    record = RunRecord(context={"plan": None}, load_s=float(len(ticks)))
    record.note(0.4, "start", "load begins")
    asked, level = plan.RequestedByShape(record), 0
    for second, tick in enumerate(ticks):
        users, rate = (0, 0) if tick in {None, "not asked"} else tick
        level += max(-int(rate), min(int(rate), users - level))
        record.timeline.set_users(second, level if running is None else running)
        if tick != "not asked":
            asked.follow(second + 0.4, *(tick or (None,)))
    return record


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ([(2, 2.0), (2, 2.0), None], 0.0),
        ([(10, 1.0)] * 11 + [None], 0.0),
        ([(10, 1.0)] * 10 + [(2, 1.0)] * 9 + [None], 0.0),
        ([(10, 5.0)] * 4 + [(20, 5.0)] * 4 + [(0, 5.0)] * 5 + [None], 0.0),
        ([(100, 5.0)] * 6 + [None], 0.7),
        ([(100, 5.0)] * 6 + [(5, 5.0)] * 6 + [None], 0.7),  # fewer are asked for before so many came
        ([(5, 5.0)] * 6 + [(100, 5.0)] * 6, 0.0),  # something else ended it
    ],
)
def test_a_load_shape_that_starts_fewer_users_than_it_asks_for_made_another_load(ticks: list, expected: float) -> None:
    """Each number of users that it requests for a while must be reached."""
    assert plan.shortfall(shaped(ticks)).ratio == pytest.approx(expected, abs=0.06)


BLOCKED = ["not asked"] * 8


@pytest.mark.parametrize(
    ("ticks", "late_s"),
    [
        ([(40, 4.0), *BLOCKED, None], 8),  # it would have ended within them
        ([(40, 4.0), *BLOCKED, (10, 4.0), None], 8),
        ([(40, 4.0), *BLOCKED, (40, 4.0), None], None),  # it requests the same as before
        ([(40, 4.0), *BLOCKED[:2], None], None),
        ([(number, 1.0) for number in range(20)], None),
    ],
)
def test_a_load_shape_that_was_asked_late_and_then_asks_for_something_else_is_noted(
    ticks: list, late_s: int | None
) -> None:
    """A master starts all users before it calls the shape again, so the end or another level may be late by as much."""
    notes = list(plan.notes(shaped(ticks)))
    assert len(notes) == bool(late_s)
    assert all("requested 40 users at 4 per second, and Locust" in note for note in notes)
    assert all(f"called the shape again, {late_s} s late:" in note for note in notes)


def test_users_of_a_load_shape_that_are_gone_are_missing() -> None:
    """It requests ten for ever, and two of them run."""
    assert plan.shortfall(shaped([(10, 10.0)] * 30, running=2)).ratio == pytest.approx(0.8, abs=0.02)


def test_the_levels_of_a_long_load_shape_are_bounded() -> None:
    """A day has as many levels as an hour, and is judged all the same."""
    record = shaped([(10, 10.0)] * 5_000, running=5)
    assert len(record.context["shape"]["levels"]) <= 1_200
    assert plan.shortfall(record).ratio == pytest.approx(0.5, abs=0.02)


def test_a_worker_that_only_says_that_it_lives_adds_no_users() -> None:
    """One of two workers sends only heartbeats: half of the users are missing, and the share says so."""
    collector, record = Collector(), record_of("quick", {}, spawn_rate_per_s=10.0)
    record.run_id = "r1"
    for worker in ("works", "silent"):
        collector.join(worker, "running", 0.0)
    collector.begin(record, 0.0)
    packed = PackedMeasurements.of(Accumulator().take())
    for second in range(20):
        delta = Delta(record.run_id, second + 1, float(second), second + 1.0, False, {"shop": 5}, Health(), packed)
        collector.take("works", delta.to_bytes(), 0.0)
        collector.join("silent", "running", second + 1.0)
        collector.flush(second + 0.5)
    assert plan.shortfall(record).ratio == pytest.approx(0.5)


def test_arrivals_between_the_samples_of_a_curve_count() -> None:
    """A curve that rises every other second is sampled at its peaks, but its total is still known."""
    stages = tuple(Stage(0.5, level, "step") for _ in range(500) for level in (20.0, 0.0))
    made = replace(PROFILES["constant-arrival-rate"], stages=stages)
    record = RunRecord(context={"plan": provenance.plan(made)}, load_s=500.0)
    record.note(0.4, "start", "load begins")
    record.tasks = {("a", "b"): 5_000}
    assert plan.shortfall(record).ratio == 0.0

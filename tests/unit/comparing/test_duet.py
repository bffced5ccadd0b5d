"""Duet: a small difference under large common noise is found, and none where there is none."""

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import gevent
import pytest
from locust.env import Environment

from loadtest import scenarios
from loadtest.comparing import commands, duet, duet_page, duet_user, text
from loadtest.comparing.commands import exit_code
from loadtest.comparing.comparison import Comparison, compare
from loadtest.comparing.core_waits import CoreWaits, Use
from loadtest.comparing.difference import Conclusion
from loadtest.comparing.duet_user import PairCounter, SharedFeed
from loadtest.comparing.greenlet_random import GreenletRandom
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.estimating.looks import Look
from loadtest.exceptions import ExitCode, UsageError
from loadtest.judging.violation import Violation
from loadtest.local import two_versions
from loadtest.local.two_versions import Version
from loadtest.measuring import record_dict
from loadtest.measuring.labels import PAIRS
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.users import SIDE, own_scenario_of, scenario_of
from loadtest.reporting.document import Document
from loadtest.run_folder import RECORD
from loadtest.users import declared
from tests import reports

VERSIONS = (Version("the old one", "http://old"), Version("the new one", "http://new"))


def document(slower: float, seconds: int = 60, *violated: str) -> Document:
    """Return a run of 60 iterations a second on each side, whose machine halves its speed now and then."""
    environment, record, random = Environment(), RunRecord("duet", 1_700_000_000.0), Random(8)
    recorder, counter = Recorder.of(environment), PairCounter(environment)
    weather = 1.0
    for second in range(seconds):
        weather = 1.0 + 0.8 * (weather - 1.0) + random.choice((0.0, 0.0, 0.3))
        for _ in range(60):
            requests: list[list[tuple[str, str, float | None]]] = []
            for side, factor in (("base", 1.0), ("new", slower)):
                took_s = 0.010 * weather * factor * random.lognormvariate(0, 0.05)
                recorder.series(side, "GET", "a").success(0.0, 0.0, took_s, 100)
                requests.append([("GET", "a", 1e3 * took_s)])
            counter.count("duet-a", *requests)
        record.add(recorder.take(), second)
    record.load_s, record.ended = float(seconds), True
    violations = tuple(Violation(rule, "worker 0", 1.0, 0.5, f"{rule} is too high") for rule in violated)
    return reports.run_document(record, violations, "error_ratio < 1%")


def conclusions(comparison: Comparison) -> dict[str, Conclusion]:
    """Return the conclusions on all requests."""
    return {one.metric: one.conclusion for one in comparison.names[0].differences}


def test_a_small_slow_down_is_found_under_common_noise() -> None:
    """2 % slower, on a machine that varies by a factor of two, is worse as pairs, and inconclusive as two runs."""
    made = document(1.02)
    found, pairs = duet.compare_sides(made, VERSIONS, duet.MARGIN)
    assert (found.base, found.new) == ("the old one", "the new one")
    assert conclusions(found)["pairs"] is Conclusion.WORSE
    assert pairs["correlation"] > 0.9
    alone = compare(*(BlockedRun.of(made, side) for side in duet.SIDES), duet.MARGIN)
    assert conclusions(alone)["p50"] is Conclusion.INCONCLUSIVE


def test_a_difference_that_is_sure_and_beyond_the_margin_is_clear() -> None:
    """Measured 2 % slower, certainly slower, but not certainly by the margin of 1.8 %: it is worse all the same."""
    compared, _ = duet.compare_sides(document(1.02), VERSIONS, 0.018)
    (found,) = (one for one in compared.names[0].differences if one.metric == "pairs")
    assert None not in {found.low, found.change}
    assert 0 < (found.low or 0.0) < 0.018 < (found.change or 0.0)
    assert found.conclusion is Conclusion.WORSE
    assert "by pairs worse, +2." in text.sentence(compared.names[0].name, found)  # pairs have no values


def test_a_duet_is_decided_when_every_figure_by_pairs_is() -> None:
    """2 % slower is decided after a minute, not after eight seconds; with shared error rates intervals are wider."""
    waits = CoreWaits([])
    looks = [duet.look(duet.MARGIN, 1.0, waits, document(1.02, seconds)) for seconds in (8, 60)]
    assert looks == [Look(False), Look(True)]
    widths = []
    for share in (1.0, 0.1):
        found, _ = duet.compare_sides(document(1.0), VERSIONS, duet.MARGIN, share)
        widths.append({one.metric: one.high - one.low for one in found.names[0].differences})
        assert ("the run could end at 10 moments" in " ".join(found.notes)) is (share < 1)
    assert {metric for metric, width in widths[1].items() if width <= widths[0][metric]} == set()


def test_a_duet_goes_on_while_it_would_end_as_not_trustworthy() -> None:
    """Exceptions are other work, which both sides met, and times spent waiting for a core."""
    made, waits = document(1.02), CoreWaits([])
    made["verdict"] = {"name": "not trustworthy", "reasons": ["worker 0 was late"], "notes": []}
    made["findings"] = [{"rule": "other_processes", "sentence": "worker 0 was late"}]
    assert duet.look(duet.MARGIN, 1.0, waits, made) == Look(True)
    made["findings"].append({"rule": "event_loop_lag", "sentence": "worker 0 was later"})
    assert duet.look(duet.MARGIN, 1.0, waits, made) == Look(True, ("it is not trustworthy so far", "worker 0 was late"))

    class Waiting(CoreWaits):
        def uses(self) -> tuple[Use, Use]:
            return Use(3.0, 31.0, 20.0), Use(3.0, 31.0, 20.0)

    assert not duet.look(duet.MARGIN, 1.0, Waiting([]), document(1.02)).is_decided


def test_equal_versions_raise_no_alarm() -> None:
    """Nothing is better or worse; the throughput of pairs is not one of the figures."""
    found = conclusions(duet.compare_sides(document(1.0), VERSIONS, duet.MARGIN)[0])
    assert {Conclusion.WORSE, Conclusion.BETTER} & set(found.values()) == set()
    assert found["pairs"] is Conclusion.SAME
    assert list(found) == ["error_ratio", "p50", "p95", "p99", "pairs"]


def test_a_duet_that_is_open_in_its_percentiles_alone_says_how_long_they_take() -> None:
    """The length is given if it is an hour or less; the difference that a longer run would detect is always given."""
    found, _ = duet.compare_sides(document(1.0), VERSIONS, duet.MARGIN)
    steps = []
    for longest_s in (600.0, 1e6):
        names = tuple(
            replace(
                name,
                differences=tuple(
                    replace(one, conclusion=Conclusion.INCONCLUSIVE, decided_after_s=longest_s)
                    if one.metric == "p99"
                    else replace(one, conclusion=Conclusion.SAME)
                    for one in name.differences
                ),
            )
            for name in found.names
        )
        steps.append(text.next_step(replace(found, names=names)))
    assert ["10 min decide those of all requests together" in step for step in steps] == [True, False]
    assert all(step.endswith("four times as long finds changes half as large") for step in steps)


@pytest.mark.parametrize("waited_s", [(31.0, 0.0), (0.0, 31.0), (31.0, 31.0)])
def test_no_response_time_is_judged_that_was_mostly_waiting_for_a_core(waited_s: tuple[float, float]) -> None:
    """Each side has 3,600 responses of about 16 ms: if half of that was waiting for a core, 2 % means nothing."""
    made = document(1.02)
    took_s = {one["scenario"]: one["response_time"]["sum_s"] for one in made["series"]}
    assert all(56.0 < one < 60.0 for one in took_s.values()), took_s
    uses = Use(3.0, waited_s[0], 20.0), Use(3.0, waited_s[1], 20.0)
    found, _ = duet.compare_sides(made, VERSIONS, duet.MARGIN, uses=uses)
    assert found.is_void
    reasons = {one.reason for one in found.names[0].differences if one.metric != "error_ratio"}
    assert {"waiting for a core" in reason for reason in reasons} == {True}
    assert any("waited for a core for" in note for note in found.notes)
    assert exit_code(found) == ExitCode.NO_DATA


@pytest.mark.parametrize(("longest_s", "is_void"), [((29.0, 31.0), True), ((31.0, 29.0), True), ((29.0, 29.0), False)])
def test_no_response_time_is_judged_of_a_version_that_waited_for_a_core_half_of_the_time(
    longest_s: tuple[float, float], is_void: bool
) -> None:
    """In a queue all requests wait with its thread, whose waits are then a small part of long responses.

    Two equal targets that compute for 0.5 ms a request were called 12 % apart, when both waited for 83 % of the time.
    """
    made = document(1.02)
    for one in made["series"]:
        one["response_time"]["sum_s"] *= 100
    uses = Use(3.0, 31.0, longest_s[0]), Use(3.0, 31.0, longest_s[1])
    found, _ = duet.compare_sides(made, VERSIONS, duet.MARGIN, uses=uses)
    assert found.is_void is is_void
    reasons = {one.reason for one in found.names[0].differences if one.metric != "error_ratio"}
    assert any("waited for a core of this machine for 31 of 60 s" in (reason or "") for reason in reasons) is is_void


def test_a_little_waiting_for_a_core_is_only_noted() -> None:
    """It is in the response times of both, and in the interval."""
    found, _ = duet.compare_sides(document(1.02), VERSIONS, duet.MARGIN, uses=(Use(3.0, 5.0, 5.0),) * 2)
    assert conclusions(found)["pairs"] is Conclusion.WORSE
    assert any("waited for a core for 5.0 s" in note for note in found.notes)


def test_a_duet_says_which_change_it_was_sure_to_find() -> None:
    """By pairs it is small, but for p99 much larger, so that p99 is not called the same."""
    compared, _ = duet.compare_sides(document(1.0), VERSIONS, duet.MARGIN)
    by_metric = {one.metric: one for one in compared.names[0].differences}
    by_pairs, p99 = (by_metric[metric].found_from or 0.0 for metric in ("pairs", "p99"))
    assert duet.MARGIN < by_pairs < 0.02 < p99
    assert by_metric["p99"].conclusion is Conclusion.INCONCLUSIVE
    assert f"{by_pairs:.1%} (by pairs) or more would have been found" in text.precision(compared)


def test_an_inconclusive_duet_ends_with_the_next_step() -> None:
    """It recommends a length, or, if waiting for a core hides the times, to end that first."""
    steps = []
    for seconds, uses in ((12, None), (60, (Use(3.0, 31.0, 20.0),) * 2)):
        found, _ = duet.compare_sides(document(1.0, seconds), VERSIONS, duet.MARGIN, uses=uses)
        assert found.conclusion is Conclusion.INCONCLUSIVE
        steps.append(text.next_step(found))
    assert re.fullmatch(r"run for about \d+ (s|min) \(--run-time\), to decide .*", steps[0]), steps
    assert steps[1].startswith("stop other work on this machine")


@pytest.mark.parametrize(
    ("alone", "expected"),
    [
        ({"/slow": 20}, "one version got requests that the other never got: 20 GET /slow"),
        ({"/slow": 19}, ""),  # such as the request after a failed one
        ({"a": 2_000}, ""),  # one version got more requests, for example while polling for a state
        (dict.fromkeys(map(str, range(1_999)), 1), "one version got requests that the other never got: GET"),
        (dict.fromkeys(map(str, range(700)), 1), ""),
    ],
)
def test_no_response_time_is_judged_where_only_one_version_got_a_request(alone: dict[str, int], expected: str) -> None:
    """The others may be the same or better although the slowest page is no longer requested."""
    made = document(1.0, 30)
    for name, count in alone.items():
        row = {"scenario": "duet-a", "method": "GET", "name": name} | dict.fromkeys(PAIRS, 0) | {"alone": count}
        made["pairs"]["series"] = [one for one in made["pairs"]["series"] if one["name"] != name]
        made["pairs"]["series"].append(row | ({"both_succeeded": 1_800} if name == "a" else {}))
    found, _ = duet.compare_sides(made, VERSIONS, duet.MARGIN)
    [by_pairs] = [one for one in found.names[0].differences if one.metric == "pairs"]
    assert found.is_void is bool(expected)
    assert by_pairs.reason.startswith(expected)
    assert text.next_step(found).startswith("have both versions get the same requests") is bool(expected)
    assert not (expected and duet.look(duet.MARGIN, 1.0, CoreWaits([]), made).is_decided)


def test_the_page_draws_the_difference_over_time() -> None:
    """Each name has a dot per second; those of a new version that is 2 % slower are above zero."""
    section = duet_page.over_time(BlockedRun.of_pairs(document(1.02)), duet.MARGIN)
    assert re.findall(r"<figcaption>(.*?) <small>", section) == ["all requests", "GET a"]
    heights = [float(y) for y in re.findall(r"cy='([\d.]+)'", section)]
    assert len(heights) == 2 * 58
    assert sum(heights) / len(heights) < 40
    assert ET.fromstring(section).tag == "section"  # noqa: S314 - ours
    assert duet_page.over_time(BlockedRun("none", 1, 0, {}), duet.MARGIN) == ""


def test_the_requests_of_an_iteration_are_paired_by_name_and_order() -> None:
    """Pairs are counted by which side failed; a request without a partner is alone, one without a time has no ratio."""
    environment, record = Environment(), RunRecord("duet", 1_700_000_000.0)
    recorder, counter = Recorder.of(environment), PairCounter(environment)
    base = [("GET", "a", 10.0), ("GET", "b", None), ("GET", "a", 20.0), ("GET", "a", math.nan), ("GET", "c", 1.0)]
    new = [("GET", "b", 5.0), ("GET", "a", 11.0), ("GET", "a", None), ("GET", "a", 30.0), ("GET", "d", None)]
    counter.count("duet-a", base, new)
    record.add(recorder.take(), 3)
    made = record_dict.as_dict(record)
    outcomes = {one["name"]: [one[outcome] for outcome in PAIRS] for one in made["pairs"]["series"]}
    assert outcomes == {"a": [2, 0, 1, 0, 0], "b": [0, 1, 0, 0, 0], "c": [0, 0, 0, 0, 1], "d": [0, 0, 0, 0, 1]}
    assert (made["total"]["requests"], base, new) == (0, [], [])
    ratios = record.of_phase("pair").total().response_time
    assert (ratios.count, ratios.refused) == (1, 1)
    assert ratios.max_s == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("rules", "threshold", "fails", "fair"),
    [
        (["other_processes"], "p50 < 1s", 0, True),
        (["other_processes"], "p50 < 1us", 0, False),
        (["other_processes"], "p99.999 < 1s", 0, False),
        (["other_processes"], "p50 < 1s", 1, False),
        (["other_processes"], "p50 < 1s", 2, False),
        (["other_processes", "dropped_iterations"], "p50 < 1s", 0, False),
        (["late_wake_ups"], "p50 < 1s", 0, False),
    ],
)
def test_only_what_both_sides_meet_alike_leaves_a_duet_fair(
    rules: list[str], threshold: str, fails: int, fair: bool
) -> None:
    """Other work on the machine does; anything that hides a difference, such as a late generator, does not.

    Nor does it excuse what makes a run fail on a machine without other work: a threshold, or a name of which every
    request failed, on both sides or on one.
    """
    recorder, record = Recorder.of(Environment()), RunRecord("duet", 1_700_000_000.0)
    for number, side in enumerate(duet.SIDES):
        for _ in range(100):
            recorder.series(side, "GET", "b").success(0.0, 0.0, 0.01, 100)
            if number < fails:
                recorder.series(side, "GET", "a").failure(0.0, 0.0, 0.01, 0, "status_5xx", "status 500")
            else:
                recorder.series(side, "GET", "a").success(0.0, 0.0, 0.01, 100)
    record.add(recorder.take(), 3)
    found = tuple(Violation(rule, "run", 1.0, 0.1, f"the run broke {rule}") for rule in rules)
    made = reports.run_document(record, found, threshold)
    assert made["verdict"]["name"] == "not trustworthy"
    assert duet.is_fair(made) is fair


def test_greenlets_that_seed_alike_draw_alike() -> None:
    """This holds whatever the other one draws in between; an unseeded greenlet uses the shared generator."""
    shared = GreenletRandom(3)

    def draw(kind: int) -> list[float]:
        shared.seed_own(5)
        drawn = []
        for _ in range(20):
            drawn += [shared.random(), shared.randrange(10**9), shared.gauss(0, 1), shared.choice("abc")]
            gevent.sleep(0)
            if kind:
                gevent.spawn(shared.random).join()
        return drawn

    one, other = (gevent.spawn(draw, kind) for kind in (0, 1))
    gevent.joinall([one, other])
    assert one.value == other.value
    assert len(set(map(str, one.value))) > 60


def test_an_item_of_a_feed_is_dealt_to_both_sides() -> None:
    """Each side gets every item once, in the same order, although both wait for the first."""
    items = iter([{"id": number} for number in range(9)])

    class Waiting:
        """A feeder whose items are late."""

        def next(self) -> dict[str, int]:
            gevent.sleep(0)
            return next(items)

    dealer = SharedFeed(Waiting())
    sides = [gevent.spawn(lambda side=side: [dealer.next(side) for _ in range(4)]) for side in (0, 1)]
    gevent.joinall(sides)
    assert sides[0].value == sides[1].value == [{"id": number} for number in range(4)]
    assert sides[0].value[0] is not sides[1].value[0]


@pytest.mark.parametrize(
    ("violated", "code"), [("other_processes", ExitCode.THRESHOLD_FAILED), ("run_delay", ExitCode.NOT_TRUSTWORTHY)]
)
def test_a_duet_that_is_not_trustworthy_says_why_its_exit_code_is_another(
    violated: str, code: ExitCode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its comparison found a slow-down; the run's own verdict comes first, unless both sides were affected alike."""
    (tmp_path / RECORD).write_text(json.dumps(document(1.1, 60, violated)))
    assert commands.end_with_duet(tmp_path, VERSIONS, duet.MARGIN, ExitCode.NOT_TRUSTWORTHY) == code
    said = capsys.readouterr().out
    assert "comparison   worse" in said
    assert ("exit code    5, whatever was found: the run is not trustworthy" in said) is (violated == "run_delay")


def test_a_version_that_is_not_there_is_wrong_usage() -> None:
    """Examples are a name without a commit, and an option of git."""
    for ref in ("no-such-branch", "--all", "--exec=touch owned", "--remote=ext::sh", "^HEAD", "HEAD:target_app", ""):
        with pytest.raises(UsageError, match="is not a version of the sample target"):
            two_versions.of_sample_target(ref, print).__enter__()


def test_both_sides_take_responses_as_ended_when_they_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a worker that waits for a core would make both sides of a pair alike."""
    monkeypatch.setattr(GreenletRandom, "install", lambda: None)
    (pair,) = duet_user.scenario_of("duet-health", "health", ("http://a:1", "http://b:1")).user_classes
    assert [(side.host, side.times_arrivals) for side in pair.sides] == [("http://a:1", True), ("http://b:1", True)]


def test_a_duet_is_noted_for_nothing_that_its_scenario_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """No class, with or without a fixed number of users, is reported to have a number without effect."""
    monkeypatch.setattr(GreenletRandom, "install", lambda: None)
    (pair,) = duet_user.scenario_of("duet-health", "health", ("http://a:1", "http://b:1")).user_classes
    assert list(declared.absent([pair], [pair])) == []
    fixed = type("Fixed", pair.sides[0].__bases__, {"fixed_count": 3})
    assert duet_user._duet_class(fixed, "duet", ({SIDE: "base"}, {SIDE: "new"})).fixed_count == 3


def test_a_side_keeps_the_name_of_its_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request names made from it, as in key_value, are the same on both sides, and form pairs."""
    monkeypatch.setattr(GreenletRandom, "install", lambda: None)
    urls = ("http://a:1", "http://b:1")
    (pair,) = duet_user.scenario_of("duet-health", "health", urls).user_classes
    assert [(scenario_of(side), own_scenario_of(side)) for side in pair.sides] == [
        ("base", "health"),
        ("new", "health"),
    ]


def test_the_redis_of_each_side_is_watched_and_its_data_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side's data is loaded; there is one message for both, since both get the same."""
    monkeypatch.setattr(GreenletRandom, "install", lambda: None)
    redis_urls, loaded = ("redis://a:1", "redis://b:1"), []

    def load_data(url: str, _progress: object) -> list[str]:
        loaded.append(url)
        return ["ten documents"]

    inner = replace(scenarios.load("documents"), load_data=load_data)
    monkeypatch.setattr(scenarios, "load", lambda _name: inner)
    made = duet_user.scenario_of("duet-documents", "documents", ("http://a:1", "http://b:1"), redis_urls)
    assert (made.redis_urls_of_sides, inner.redis_urls_of_sides) == (redis_urls, ())
    assert made.load_data is not None
    assert made.load_data("redis://a:1", lambda _done, _total: None) == ["ten documents"]
    assert loaded == list(redis_urls)


def test_neither_side_is_kept_waiting_for_the_other() -> None:
    """The side that was ordered last is awaited first: work after the end of the other delays no response."""
    awaited: list[str] = []

    class Side:
        """Records the orders and waits of an iteration."""

        noted: list[str] = []  # noqa: RUF012 - of both sides

        def __init__(self, name: str) -> None:
            self.name, self.requests = name, []

        def order(self, _intended_s: float | None, _seed: int) -> None:
            self.noted.append(self.name)

        def wait(self) -> None:
            self.noted.append(self.name)

    user = SimpleNamespace(
        _sides=[Side("base"), Side("new")], _chance=Random(8), _counter=SimpleNamespace(count=lambda *_: None),
        intended_start_s=None, scenario="duet", _end_with_sides=lambda: None,
    )  # fmt: skip
    for _ in range(200):
        duet_user.DuetUser.pair(user)
        first, second, *waits = Side.noted
        assert waits == [second, first]
        awaited.append(second)
        Side.noted.clear()
    assert 60 < awaited.count("base") < 140

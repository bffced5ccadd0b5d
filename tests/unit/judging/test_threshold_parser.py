"""ThresholdParser: the language of rules, its canonical form, and its errors."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.exceptions import UsageError
from loadtest.judging.metric import METRICS, RANGES, UNITS, VALUES
from loadtest.judging.threshold import COMPARISONS, Threshold
from loadtest.judging.threshold_parser import LONGEST_S, parse


def rule(text: str) -> Threshold:
    """Return the only rule of a text."""
    (only,) = parse(text, "here")
    return only


def test_a_rule_has_all_its_parts() -> None:
    """Aggregate, metric, selector, comparison, limit and options are parsed as written."""
    text = 'p99.90(service_time){name="a/b", scenario="x"} <= 1.5 s warm_up=1m delay=10s abort_on_fail'
    expected = Threshold(
        "service_time", "<=", 1.5, "s", "p99.9", (("scenario", "x"), ("name", "a/b")), 60.0, 10.0, abort_on_fail=True
    )
    assert rule(text) == expected


@pytest.mark.parametrize(
    ("text", "canonical", "limit"),
    [
        ("p99 < 50ms", "p99(response_time) < 50ms", 0.05),
        ("p100<5µs", "p100(response_time) < 5us", 5e-6),
        ("p0 ( schedule_lag ) > 2s", "p0(schedule_lag) > 2s", 2.0),
        ("mean<=.5s", "mean(response_time) <= 0.5s", 0.5),
        ("min(service_time) >= 1e2us", "min(service_time) >= 100us", 1e-4),
        ("max{method='GET'} < 1s".replace("'", '"'), 'max(response_time){method="GET"} < 1s', 1.0),
        ("error_ratio < 0.1 %", "error_ratio < 0.1%", 0.001),
        ("dropped_ratio <= 0%", "dropped_ratio <= 0%", 0.0),
        ("requests_per_s >= 100/s", "requests_per_s >= 100/s", 100.0),
        ("requests > 1000", "requests > 1000", 1000.0),
        ("response_bytes < 1.5 MB", "response_bytes < 1.5MB", 1.5e6),
        ("request_bytes <= 20kB", "request_bytes <= 20kB", 20_000.0),
        ("iterations >= 5", "iterations >= 5", 5.0),
        ('connections{name="a:80"} < 9', 'connections{name="a:80"} < 9', 9.0),
        (r'error_ratio{name="a\"b, {\\c}"} < 1%', r'error_ratio{name="a\"b, {\\c}"} < 1%', 0.01),
    ],
)
def test_canonical_text_and_limit(text: str, canonical: str, limit: float) -> None:
    """Every metric and unit is parsed, written canonically, and converted to seconds, ratios or numbers."""
    parsed = rule(text)
    assert (str(parsed), parsed.limit) == (canonical, pytest.approx(limit))


def test_several_rules_are_separated_by_commas_outside_of_quotes_and_braces() -> None:
    """A comma in a selector or in a quoted name does not separate rules."""
    text = 'p99(response_time){name="a,b", method="GET"} < 100ms, error_ratio < 0.1%,requests > 5'
    assert [one.metric for one in parse(text, "here")] == ["response_time", "error_ratio", "requests"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99 < 50", "50 has no unit. Allowed: us, µs, ms, s. Next: write 50ms"),
        ("p99 < 50 abort_on_fail", "50 has no unit."),
        ("error_ratio < 1", "1 has no unit. Allowed: %. Next: write 1%"),
        ("requests_per_s > 5", "5 has no unit. Allowed: /s."),
        ("requests > 5/s", "'/s' is not a unit of a count. Allowed: a plain number."),
        ("request_bytes < 5", "5 has no unit. Allowed: B, kB, MB, GB. Next: write 5MB"),
        ("response_bytes >= 0B", "no run can violate it: a size is 0 B or more."),
        ("response_bytes > 5B abort_on_fail", "abort_on_fail would end the run immediately: response_bytes starts at"),
        ("p99 < 5msec", "'msec' is not a unit of time."),
        ("error_ratio < 5ms", "'ms' is not a unit of a ratio."),
        ("error_ratio < 101%", "101% is more than 100%."),
        ("p999 < 5ms", "p999 is not a percentile. Allowed: p0 to p100. Next: did you mean p99.9?"),
        ("p100.1 < 5ms", "p100.1 is not a percentile."),
        ("error_rate < 5%", "'error_rate' is not a metric. Allowed: AGGREGATE(response_time|"),
        (
            "respons_time < 5ms",
            "'respons_time' is not a metric. Allowed: AGGREGATE(response_time|service_time|schedule",
        ),
        (
            "average(response_time) < 5ms",
            "'average' is not an aggregate. Allowed: p0 to p100 such as p99 or p99.9, mean",
        ),
        ("response_time < 5ms", "response_time is a distribution. Allowed: p0 to p100"),
        (
            "p99(latency) < 5ms",
            "'latency' has no p99. Allowed: response_time, service_time, schedule_lag, tr",
        ),
        ("error_ratio(x) < 5%", "error_ratio does not take parentheses."),
        ("p99 == 5ms", "expected a comparison, not '=='. Allowed: < <= > >=."),
        ("p99", "expected a comparison, not the end."),
        ("p99 < fast", "expected a number, not 'fast'."),
        ("p99 < nan", "expected a number, not 'nan'."),
        ("error_ratio <= 100%", "no run can violate it: a ratio is 0% to 100%. Allowed: a limit that some runs meet"),
        ("dropped_ratio >= 0%", "no run can violate it: a ratio is 0% to 100%."),
        ("requests >= 0", "no run can violate it: a count is 0 or more."),
        ("requests_per_s >= 0/s", "no run can violate it: a rate is 0/s or more."),
        ("p99 <= 3600s", "no run can violate it: time is 0 s to 1 h."),
        ("error_ratio < 0%", "no run can meet it: a ratio is 0% to 100%."),
        ("max > 3600s", "no run can meet it: time is 0 s to 1 h."),
        ("p99 < -5ms", "the limit -5 is out of range. Allowed: 0 or more."),
        ("p99 < 1e999s", "the limit 1e999 is out of range."),
        ("p99 < 5ms warmup=5s", "'warmup=' is not an option. Allowed: warm_up=DURATION, delay=DURATION, abort_on_fai"),
        ("p99 < 5ms warm_up=x", "warm_up=x is not allowed. Allowed: a duration up to 7 days"),
        ("p99 < 5ms warm_up=8000000s", "warm_up=8000000s is not allowed."),
        ("p99 < 5ms warm_up=1s warm_up=1s", "warm_up is given twice."),
        ("p99 < 5ms abort_on_fail=1", "'abort_on_fail=' is not an option."),
        ("p99 < 5ms delay=5s", "delay sets how long a rule must have failed before it ends the run, but this rule do"),
        ("requests > 5 abort_on_fail", "abort_on_fail would end the run immediately"),
        (
            'error_ratio{nam="x"} < 5%',
            "error_ratio has no label 'nam'. Allowed: phase, scenario, method, name. Next: did yo",
        ),
        ('p99{result="ok"} < 5ms', "there is no result 'ok'. Allowed: success, failure."),
        ('error_ratio{phase="warmup"} < 5%', "there is no phase 'warmup'. Allowed: load, setup."),
        ('dropped_ratio{name="x"} < 5%', "dropped_ratio has no label 'name'. Allowed: scenario."),
        ('error_ratio{name="x", name="y"} < 5%', "name is given twice."),
        ('connections_open{name="x"} < 5', "connections_open has no labels. Allowed: connections_open < …."),
        ("error_ratio{name=x} < 5%", "the selector is wrong at 'name=x} < 5%'."),
        ('error_ratio{name="x < 5%', "the selector is wrong at"),
        ('error_ratio{name="x" < 5%', "the selector does not end at '< 5%'."),
        ("error_ratio{} < 5%", "the selector is wrong at"),
        ("< 5ms", "a rule must begin with a metric."),
        ("", "a rule must begin with a metric."),
    ],
)
def test_wrong_rules_say_what_is_wrong(text: str, expected: str) -> None:
    """Each error has the place, the rule, the allowed values and the next step."""
    with pytest.raises(UsageError) as caught:
        parse(text, "here")
    problem = str(caught.value)
    start = f"here: {text!r}: {expected}"
    assert problem[: len(start)] == start
    assert "Allowed: " in problem
    assert "Next: " in problem


def test_all_wrong_rules_are_reported_together() -> None:
    """A list with two wrong rules and a right one is refused with two lines."""
    with pytest.raises(UsageError) as caught:
        parse("p99 < 50, error_ratio < 1%, p99 > fast", "here")
    assert len(str(caught.value).splitlines()) == 2


numbers = {"time": st.floats(0, 3600), "ratio": st.floats(0, 100)}


@st.composite
def rules(draw: st.DrawFn) -> Threshold:
    """Draw any rule."""
    metric = draw(st.sampled_from(sorted(METRICS)))
    kind, labels = METRICS[metric].kind, METRICS[metric].labels
    percentile = st.decimals(0, 100, places=draw(st.integers(0, 6))).map(lambda rank: f"p{rank.normalize():f}")
    aggregate = draw(st.one_of(st.sampled_from(["mean", "min", "max"]), percentile)) if kind == "time" else ""
    chosen = draw(st.sets(st.sampled_from(labels))) if labels else set()
    abort = draw(st.booleans())
    comparison = draw(st.sampled_from(sorted(COMPARISONS)))
    if kind in {"count", "size"} and comparison.startswith(">"):
        abort = False
    seconds = st.floats(0, LONGEST_S)
    return Threshold(
        metric,
        comparison,
        draw(numbers.get(kind, st.floats(0, 1e12))) + 0.0,
        draw(st.sampled_from([unit for unit in UNITS[kind] if unit != "µs"])),
        aggregate,
        tuple(
            (label, draw(st.sampled_from(VALUES[label]) if label in VALUES else st.text()))
            for label in labels
            if label in chosen
        ),
        draw(seconds) + 0.0,
        draw(seconds) + 0.0 if abort else 0.0,
        abort,
    )


def has_effect(rule: Threshold) -> bool:
    """Return whether some runs meet a rule and others do not."""
    return len({rule.holds(value) for value in RANGES[rule.kind]}) == 2


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first texts take seconds


@patient
@given(st.lists(rules().filter(has_effect), min_size=1, max_size=3))
def test_canonical_text_parses_to_the_same_rules(several: list[Threshold]) -> None:
    """The canonical texts of any rules, joined by commas, parse to the same rules."""
    assert parse(", ".join(map(str, several)), "here") == several


@patient
@given(
    st.one_of(
        st.text(),
        st.text(alphabet='p99(response_time){name="}<>=.%µms/ ,\\'),
        st.lists(st.sampled_from(["p99", "(", ")", "{", '"', "<", "5", "ms", "%", "warm_up=", "=", ",", " "])).map(
            "".join
        ),
    )
)
def test_any_text_is_a_rule_or_a_usage_error(text: str) -> None:
    """Any text is parsed to rules or refused with a usage error."""
    try:
        parsed = parse(text, "here")
    except UsageError as error:
        assert all(line for line in str(error).splitlines())
    else:
        assert parse(", ".join(map(str, parsed)), "here") == parsed

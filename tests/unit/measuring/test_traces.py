"""Traces: a valid header for the requested share, and a bounded record of the slowest."""

import re

import pytest

from loadtest.measuring import traces
from loadtest.measuring.traces import Sampler, Trace, Traces, ids_of

OWN = f"00-{'ab' * 16}-{'cd' * 8}-01"


def sampler(ratio: float) -> Sampler:
    """A sampler with this ratio."""
    made = Sampler()
    made.ratio = ratio
    return made


def test_a_share_of_the_requests_gets_a_header() -> None:
    """The header is as in W3C Trace Context: version 00, two random ids, sampled; no two of them are equal."""
    one_in_four = sampler(0.25)
    asked = [one_in_four.apply({"A": "b"}) for _ in range(2_000)]
    values = [headers["traceparent"] for headers, is_traced in asked if is_traced]
    assert 400 < len(values) < 600  # five standard deviations
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", value) for value in values)
    assert len({ids_of({"traceparent": value}) for value in values}) == len(values)
    assert all(headers["A"] == "b" and is_traced == ("traceparent" in headers) for headers, is_traced in asked)
    assert sampler(0.0).apply(None) == (None, False)


def test_a_header_of_the_scenarios_own_is_kept() -> None:
    """It is kept in any case, whether it is of the request alone or of all."""
    everyone = sampler(1.0)
    assert everyone.apply({"TraceParent": OWN}) == ({"TraceParent": OWN}, True)
    assert everyone.apply(None, ("host", "traceparent")) == (None, True)


@pytest.mark.parametrize(
    ("value", "trace_id"),
    [
        (OWN, "ab" * 16),
        (OWN.encode(), "ab" * 16),
        (OWN.replace("00-", "cc-") + "-more", "ab" * 16),
        (OWN[:-2] + "00", ""),  # not sampled: that trace is not stored
        (OWN.replace("00-", "ff-"), ""),
        (f"00-{'0' * 32}-{'cd' * 8}-01", ""),
        (f"00-{'ab' * 16}-{'0' * 16}-01", ""),
        (OWN.upper(), ""),
        ('" # {} 1', ""),
        (None, ""),
    ],
)
def test_the_id_of_a_header(value: object, trace_id: str) -> None:
    """Only a valid and sampled header has an id."""
    assert ids_of({"Other": "x", "Traceparent": value})[0] == trace_id


def test_the_slowest_of_each_name_and_outcome_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is bounded in any case."""
    monkeypatch.setattr(traces, "MAX_KINDS", 2)
    kept = Traces()
    for number in (3, 1, 5, 2, 4):
        kept.add(7, Trace(f"{number}" * 32, number / 8, ""))
        kept.add(7, Trace(f"{number}" * 32, number / 8, "reset"))
        kept.add(8, Trace(f"{number}" * 32, number / 8, ""))  # there is no room for it
    assert [(row, trace.trace_id[0], trace.error_class) for row, trace in kept] == [
        *((7, digit, "") for digit in "543"), *((7, digit, "reset") for digit in "543"),
    ]  # fmt: skip

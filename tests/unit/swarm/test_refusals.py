"""Every refusal of the link is counted, and the log is not flooded with them."""

import time

import pytest

from loadtest.swarm import refusals


@pytest.fixture(autouse=True)
def quiet_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start like a new process."""
    monkeypatch.setattr(refusals, "counts", dict.fromkeys(refusals.counts, 0))
    monkeypatch.setattr(refusals, "_logged_at_s", {})


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about refusals; peers of other tests may log more."""
    return [record.getMessage() for record in caplog.records if record.name == refusals.__name__]


def test_every_refusal_is_counted_by_its_reason() -> None:
    """Each reason has its own count, 0 if there was none."""
    for reason in (refusals.FORGED, refusals.FORGED, refusals.MALFORMED):
        refusals.refuse(reason, "of this test")
    assert refusals.counts == {"handshake": 0, "forged": 2, "malformed": 1, "unknown": 0}


def test_a_flood_is_one_line_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Of a thousand refusals, the first of each reason is logged with an explanation."""
    for number in range(1_000):
        refusals.refuse(refusals.MALFORMED, f"it was number {number}")
    refusals.refuse(refusals.FORGED, "it was another's")
    assert said(caplog) == [
        "link: refused 1 so far (malformed), the last one because it was number 0",
        "link: refused 1 so far (forged), the last one because it was another's",
    ]


def test_after_a_while_the_number_is_said_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line comes when the last one is some seconds old, and has the number since then."""
    monkeypatch.setattr(refusals, "_LOG_EVERY_S", 1.0)
    for number in range(5):
        refusals.refuse(refusals.HANDSHAKE, f"it was number {number}")
        time.sleep(1.1 if number == 3 else 0)
    lines = said(caplog)
    assert lines[-1] == "link: refused 5 so far (handshake), the last one because it was number 4"
    assert len(lines) == 2

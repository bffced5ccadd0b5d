"""The master's side: indexes, refusals, the time line, users, and the figures during a run."""

import pytest

from loadtest.measuring.collector import INDEX_KEPT_S, Arrival, Collector
from loadtest.measuring.delivery import Acknowledgement
from loadtest.measuring.health import Health
from loadtest.measuring.in_flight import InFlight
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import Missing
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta


def delta(  # noqa: PLR0917 - a delta has that many parts
    sequence: int,
    requests: int = 10,
    run: str = "run",
    users: int = 3,
    final: bool = False,
    span_s: float = 1.0,
    connections: int = 0,
) -> bytes:
    """A delta of the ``sequence``-th second, on a clock that begins at 0."""
    recorder = Recorder()
    for _ in range(requests):
        recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.5, 10)
    packed = PackedMeasurements.of(recorder.take())
    end_s = float(sequence)
    return Delta(
        run,
        sequence,
        end_s - span_s,
        end_s,
        final,
        {"shop": users},
        Health(0.5, 0.02, received_bytes_per_s=7e6, sent_bytes_per_s=5e6),
        packed,
        InFlight(0, 0.0, connections),
    ).to_bytes()


def started(*workers: str) -> Collector:
    """A collector with these workers and an open run that began at second 100."""
    collector = Collector()
    for worker in workers:
        collector.join(worker, "running", 100.0)
    collector.begin(RunRecord("run", 1_000.0), 100.0)
    return collector


def test_each_second_of_the_workers_becomes_a_second_of_the_run() -> None:
    """Deltas of several workers for the same second become one point, whatever their clocks say."""
    collector = started("a", "b")
    for sequence in (1, 2, 3):
        collector.take("a", delta(sequence), 100.0)
        collector.take("b", delta(sequence, requests=5), 100.1)
    seconds = collector.flush()
    assert [(one.second, int(one.measurements.requests.sum())) for one in seconds] == [(0, 15), (1, 15), (2, 15)]
    assert [(point.second, point.requests, point.users) for point in collector.record.timeline] == [
        (0, 15, 6),
        (1, 15, 6),
        (2, 15, 6),
    ]
    assert collector.totals.requests == 45
    assert len(collector.totals.timeline) == 0


def test_a_second_without_requests_is_a_point_too() -> None:
    """A second in which users ran but nothing finished is on the time line, with its users."""
    collector = started("a")
    collector.take("a", delta(1, requests=0), 100.0)
    collector.flush(complete_s=100.5)
    assert [(point.second, point.requests, point.users) for point in collector.record.timeline] == [(0, 0, 3)]


def test_the_most_open_connections_are_kept() -> None:
    """The maximum is over all workers together, per second; a reset starts over."""
    collector = started("a", "b")
    for sequence, connections in ((1, 5), (2, 30), (3, 4)):
        collector.take("a", delta(sequence, connections=connections), 100.0)
        collector.take("b", delta(sequence, connections=2), 100.0)
        collector.flush()
    assert collector.record.connections_peak == 32
    collector.record.reset(3)
    assert collector.record.connections_peak == 0


def test_users_of_a_second_are_those_of_its_deltas() -> None:
    """Deltas that arrive together, for example after the master was blocked, give each second its own users."""
    collector = started("a", "b")
    for sequence, users in ((1, 2), (2, 5), (3, 1), (4, 0)):
        collector.take("a", delta(sequence, users=users, final=sequence == 4), 100.0)
    collector.take("b", delta(1, users=1), 100.0)
    seconds = collector.end()
    # Users that stopped within a second ran in it; b sent nothing later, so its users are assumed to continue.
    assert [point.users for point in collector.record.timeline] == [3, 6, 6, 2]
    assert [one.users["shop"] for one in seconds] == [3, 6, 6, 2]


def test_users_that_run_elsewhere_meanwhile_are_counted_where_they_ran() -> None:
    """A worker that was cut off reports late: its users of each second are added to those of the other workers."""
    collector = started("a", "b")
    for sequence, users_of_a in ((1, 3), (2, 3), (3, 6)):
        collector.take("a", delta(sequence, users=users_of_a), 100.0)
        if sequence == 1:
            collector.take("b", delta(1), 100.0)
        if sequence == 3:
            collector.join("b", "missing", 103.0)
        collector.flush()
    collector.take("b", delta(2), 100.0)
    collector.take("b", delta(3), 100.0)
    collector.flush()
    assert [point.users for point in collector.record.timeline] == [6, 6, 9]


@pytest.mark.parametrize("first", ["a", "b", "both"])
def test_users_that_move_to_a_new_worker_count_once(first: str) -> None:
    """Ten users become five on each of two workers within a second: the maximum stays ten, whichever reports first."""
    collector = started("a")
    collector.take("a", delta(1, users=10), 100.0)
    collector.flush()
    collector.join("b", "running", 101.0)
    reports = {"a": (delta(2, users=5), 100.0), "b": (delta(1, users=5), 101.0)}
    for worker in sorted(reports, reverse=first == "b"):
        collector.take(worker, *reports[worker])
        if first != "both":
            collector.flush()
    collector.flush()
    assert [point.users for point in collector.record.timeline] == [10, 10]


def test_users_of_a_moment_make_no_second() -> None:
    """A last delta of a few milliseconds without a sample adds no second to the time line."""
    collector = started("a")
    collector.take("a", delta(1), 100.0)
    collector.take("a", delta(2, requests=0, final=True, span_s=0.01), 99.01)
    collector.end()
    assert [(point.second, point.requests, point.users) for point in collector.record.timeline] == [(0, 10, 3)]


@pytest.mark.parametrize(
    ("worker", "data"),
    [("stranger", delta(1)), ("a", delta(1, run="another")), ("stranger", delta(1, run=""))],
)
def test_what_is_not_of_this_run_is_refused_and_counted(worker: str, data: bytes) -> None:
    """Unknown workers and other runs are refused with a reply, and not counted."""
    collector = started("a")
    run = Delta.from_bytes(data).run
    assert collector.take(worker, data, 0.0) == Acknowledgement(run, 0, refused=True)
    collector.flush()
    assert (collector.record.requests, collector.totals.requests, collector.record.delivery.refused) == (0, 0, 1)


def test_a_corrupt_delta_is_refused_and_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """Damage is reported, counted and not acknowledged, so that the worker sends the delta again."""
    collector = started("a")
    assert collector.take("a", delta(1)[:-1] + b"?", 0.0) is None
    collector.take("a", delta(1), 100.0)
    collector.flush()
    assert [text.partition(":")[0] for text in caplog.messages] == ["refused 1 delta of worker 0"]
    assert (
        collector.record.requests,
        collector.record.delivery.refused,
        collector.record.completeness,
    ) == (10, 1, 1.0)


def spoilt(name: str, value: bytes) -> bytes:
    """A delta with a valid checksum but other content, for example in its bins."""
    whole = Delta.from_bytes(delta(1))
    histograms = whole.packed.response_time._replace(**{name: value})
    return whole._replace(packed=whole.packed._replace(response_time=histograms)).to_bytes()


@pytest.mark.parametrize(
    "spoilt_one",
    [
        spoilt("bins", b"\xff\xff"),
        spoilt("bins", b"\x01\x00\x02\x00"),
        spoilt("rows", b"\xff" * 38),
        spoilt("rows", bytes(38)),
        spoilt("counts", b""),
        delta(1)[:-1] + b"?",
    ],
)
def test_a_corrupt_delta_is_refused_alone(spoilt_one: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An error in one of several deltas that came together is attributed to its worker; the others count."""
    collector = started("a", "b", "c")
    arrived = [Arrival("a", delta(1), 100.0), Arrival("b", spoilt_one, 100.0), Arrival("c", delta(1), 100.0)]
    assert list(collector.take_all(arrived)) == []
    collector.flush()
    assert [text.partition(":")[0] for text in caplog.messages] == ["refused 1 delta of worker 1"]
    assert (collector.record.requests, collector.record.delivery.refused) == (20, 1)
    assert [collector.acknowledgement(worker).upto for worker in "abc"] == [1, 0, 1]


def test_a_delta_of_the_future_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """By its worker's own clock it was sent before it ended, and would be far beyond the end of the time line."""
    collector = started("a", "b")
    arrived = [Arrival("a", delta(9_000_000_000), 100.0, 5.0), Arrival("b", delta(1), 100.0, 1.0)]
    assert list(collector.take_all(arrived)) == []
    collector.flush()
    assert caplog.messages == ["refused 1 delta of worker 0: delta 9000000000 ends 9e+09 s after it was sent"]
    assert (collector.record.requests, collector.record.duration_s) == (10, 1)


def test_samples_outside_any_run_are_in_the_totals_only() -> None:
    """A worker's samples before a run are not part of the run's record."""
    collector = started("a")
    collector.take("a", delta(1, run=""), 0.0)
    collector.take("a", delta(1, run=""), 0.0)
    collector.flush()
    assert (collector.record.requests, collector.totals.requests) == (0, 10)


def test_after_the_end_nothing_changes_the_record() -> None:
    """A delta that arrives after the end is refused, whatever delayed it."""
    collector = started("a")
    collector.take("a", delta(1, final=True), 100.0)
    collector.end()
    assert collector.take("a", delta(2), 100.0).refused
    collector.flush()
    assert (collector.record.requests, collector.record.completeness, collector.record.ended) == (10, 1.0, True)


def test_a_repetition_after_the_end_is_no_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """A delta that the closed record already has, or one without counts, may come late: nothing is lost or reported."""
    collector = started("a")
    collector.take("a", delta(1, final=True), 100.0)
    collector.end()
    assert collector.take("a", delta(1, final=True), 100.0).refused
    assert collector.take("a", delta(2, requests=0, final=True), 100.0).refused
    collector.flush()
    assert (collector.refused, caplog.messages) == (0, [])
    collector.take("a", delta(2), 100.0)
    collector.flush()
    said = [text.partition(":")[0] for text in caplog.messages]
    assert (collector.refused, said) == (1, ["refused 1 delta of worker 0"])


def test_refusals_of_a_second_are_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that joins a new master sends up to two minutes of its last run: that is one line per worker."""
    collector = started("a", "b")
    arrived = [Arrival(worker, delta(number + 1, run="old"), 100.0) for number in range(60) for worker in "aab"]
    assert [one.refused for _, one in collector.take_all(arrived)] == [True] * 180
    collector.flush()
    collector.flush()
    why = "run 'old' is not open, or the worker is not known"
    assert caplog.messages == [f"refused 120 deltas of worker 0: {why}", f"refused 60 deltas of worker 1: {why}"]
    assert collector.refused == 180


@pytest.mark.parametrize(("ends", "missing"), [("killed", [Missing(1, 1, 5.0, None)]), ("leaves", [])])
def test_a_worker_that_joins_and_ends_before_its_first_delta(ends: str, missing: list[Missing]) -> None:
    """A killed one may have sent requests, which are named as missing; one that leaves properly has sent none."""
    collector = started("a")
    collector.join("b", "spawning", 105.0)
    if ends == "killed":
        collector.join("b", "missing", 106.0)
    else:
        collector.leave(["a"], 106.0)
    collector.take("a", delta(1, final=True), 100.0)
    collector.end()
    assert list(collector.record.delivery.missing) == missing


def test_while_a_run_goes_on_only_dead_workers_make_it_incomplete() -> None:
    """The current second of a living worker is not missing; that of a dead one is, from its last delta on."""
    collector = started("a", "b")
    for worker in ("a", "b"):
        collector.take(worker, delta(1), 100.0)
    collector.flush()
    assert collector.record.completeness == 1.0
    collector.leave(["a"], 105.0)
    collector.flush()
    [missing] = collector.record.delivery.missing
    assert (missing.worker, missing.deltas, missing.start_s, missing.end_s) == (1, 1, 1.0, None)
    assert pytest.approx(collector.record.completeness) == 2 / 3


def test_an_index_is_given_again_only_after_a_while() -> None:
    """Indexes stay small however often workers join and leave, and a worker that returns soon keeps its own."""
    collector = Collector()
    assert [collector.join(name, "ready", 0.0).index for name in ("a", "b")] == [0, 1]
    collector.leave(["b"], 10.0)
    assert collector.join("c", "ready", 10.0).index == 2
    assert collector.join("a", "ready", 20.0).index == 0
    collector.leave(["b", "c"], 30.0)
    collector.leave(["b", "c"], 20.0 + INDEX_KEPT_S + 1.0)
    assert collector.join("d", "ready", 90.0).index == 0


def test_users_are_those_of_present_workers() -> None:
    """Users by scenario are the sum over the connected workers, and 0 after their stop."""
    collector = started("a", "b")
    collector.take("a", delta(1, users=3), 100.0)
    collector.take("b", delta(1, users=4), 100.0)
    assert collector.users() == {"shop": 7}
    collector.leave(["a"], 101.0)
    assert collector.users() == {"shop": 3}
    collector.take("a", delta(2, users=0, final=True), 100.0)
    assert collector.users() == {"shop": 0}


def test_workers_say_how_they_fare() -> None:
    """CPU, event-loop lag, network and users of each worker are available by its index."""
    collector = started("a")
    collector.take("a", delta(1), 100.0)
    worker = collector.workers["a"]
    assert (
        worker.index,
        worker.state,
        worker.cpu_ratio,
        worker.loop_lag_s,
        worker.received_bytes_per_s,
        worker.sent_bytes_per_s,
        worker.users,
    ) == (0, "running", 0.5, 0.02, 7e6, 5e6, 3)
    collector.flush()
    assert collector.record.workers[0]["subject"] == "worker 0"


def test_a_reset_starts_the_record_and_not_the_totals_afresh() -> None:
    """The record counts from the reset on; the totals never decrease."""
    collector = started("a")
    collector.take("a", delta(1), 100.0)
    collector.flush()
    collector.reset(101.5)
    collector.take("a", delta(2), 100.0)
    collector.flush()
    assert (collector.record.requests, collector.totals.requests, collector.record.reset_at_s) == (10, 20, 1)


def test_runs_do_not_mix() -> None:
    """A new run has a new record and new numbers; the totals continue."""
    collector = started("a")
    collector.take("a", delta(1, final=True), 100.0)
    collector.end()
    collector.begin(RunRecord("second", 1_010.0), 110.0)
    assert collector.running
    assert collector.take("a", delta(2, run="run"), 100.0).refused
    collector.take("a", delta(1, run="second", requests=7), 110.0)
    collector.flush()
    assert (collector.record.run_id, collector.record.requests, collector.totals.requests) == ("second", 7, 17)


def test_workers_that_come_and_go_are_events_of_the_run() -> None:
    """Lost, back, joined and left are events, once each and at their second; not before or after the run."""
    collector = started("a", "b")
    collector.join("b", "missing", 103.0)
    collector.join("b", "missing", 104.0)
    collector.join("b", "running", 105.5)
    collector.join("c", "ready", 106.0)
    collector.leave(["b", "c"], 107.0)
    record = collector.record
    collector.end()
    collector.leave([], 109.0)
    expected = [(3.0, "worker 1 lost"), (5.5, "worker 1 is back"), (6.0, "worker 2 joined"), (7.0, "worker 0 left")]
    assert [(event.second, event.text) for event in record.events] == expected
    assert {event.kind for event in record.events} == {"worker"}

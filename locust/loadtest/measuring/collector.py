"""Collector: merges the workers' deltas on the master, each exactly once, into the RunRecord of the current run."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.exceptions import RecordError
from loadtest.measuring import packed, steady_clock
from loadtest.measuring.delivery import WINDOW, Acknowledgement, Ledger
from loadtest.measuring.health import MASTER, Health, Watch
from loadtest.measuring.in_flight import InFlight
from loadtest.measuring.labels import Labels
from loadtest.measuring.recent import Recent
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import Delivery, Missing
from loadtest.measuring.wire import Delta

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from loadtest.measuring.measurements import Measurements
    from loadtest.measuring.packed import PackedMeasurements, Summed

_log = logging.getLogger(__name__)

GONE: Final = "gone"
MISSING: Final = "missing"
_AWAY: Final = (GONE, MISSING)
INDEX_KEPT_S: Final = 60.0
"""Seconds that a worker must have been gone before its index is given to another."""
DESCRIBE_EVERY: Final = 10
"""The number of flushes, one per second, between two updates of the record's summary of the workers' health."""


@dataclass(slots=True)
class Worker:
    """The master's knowledge of one worker."""

    index: int
    """0, 1, 2 …: the lowest free number, which keeps the label bounded however often workers come and go."""
    state: str
    """Locust's state: ready, spawning, running, missing and so on; ``gone`` once it has left."""
    seen_s: float
    cpu_ratio: float = 0.0
    loop_lag_s: float = 0.0
    memory_ratio: float = 0.0
    memory_bytes: float = 0.0
    received_bytes_per_s: float = 0.0
    sent_bytes_per_s: float = 0.0
    users: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """Workers that stopped answering without leaving, since the process started."""

    workers: int = 0
    noticed_at: float = 0.0
    """When the last one was detected, in seconds since the epoch; 0 if there was none."""


class Arrival(NamedTuple):
    """A received delta."""

    worker: str
    """The sender's name in Locust."""
    data: bytes
    """The delta's binary form."""
    offset_s: float
    """The master's clock minus the worker's, in seconds."""
    sent_s: float = math.inf
    """When it was sent, on the worker's clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Second:
    """The measurements of all workers in one second of the time line."""

    second: int
    measurements: Measurements
    users: dict[str, int]
    """Running users by scenario."""


class Collector:
    """Merges deltas into the RunRecord. Times are in seconds of the master's monotonic clock."""

    def __init__(self) -> None:
        """Create a collector without a run."""
        self.labels = Labels()
        self.totals = RunRecord(labels=self.labels)
        """Everything since the process started, never reset, and without a time line."""
        self.record: RunRecord | None = None
        """The current or last run; None before the first."""
        self.recent = Recent()
        """The last seconds of the open run; empty if none is open."""
        self.watch = Watch()
        self.ledger = Ledger("")
        self.ledger.closed = True
        self.workers: dict[str, Worker] = {}
        """The workers by their names in Locust."""
        self.lost = Lost()
        self.master = Health()
        """The master's latest observation of its own health."""
        self.ended_at = 0.0
        """When the last run ended, in seconds since the epoch; 0 before the first run and while one is open."""
        self.refused = 0
        """The number of refused deltas since the process started: with counts from unknown workers, too late, or
        damaged."""
        self._refused_before = 0
        self._refused_of: dict[str, tuple[int, str]] = {}  # since the last flush: the number, and the last reason
        self._outside = Ledger("")  # samples outside any run go to the totals only
        self._pending: dict[int | None, list[PackedMeasurements]] = {}  # by second of the time line
        self._epoch_s = 0.0
        # By second and worker: the users by scenario at its start, then as of each report. Covers the last `WINDOW`
        # seconds.
        self._users_in: dict[int, dict[str, list[Mapping[str, int]]]] = {}
        self._users_flushed = -1  # the latest second whose users are in the time line
        self._described = 0  # flushes until the next update of the workers' summary

    @property
    def running(self) -> bool:
        """Whether a run is open."""
        return not self.ledger.closed

    def join(self, worker: str, state: str, now_s: float) -> Worker:
        """Record that a worker is connected, and its state."""
        known = self.workers.get(worker)
        if known is None:
            taken = {other.index for other in self.workers.values()}
            known = self.workers[worker] = Worker(
                next(i for i in range(len(taken) + 1) if i not in taken), state, now_s
            )
            self._note(now_s, f"worker {known.index} joined")
            if self.running:  # it may send requests, and be killed, before its first delta
                self.ledger.expect(worker, known.index, now_s)
        elif state in _AWAY and known.state not in _AWAY:
            self._note(now_s, f"worker {known.index} lost")
        elif known.state in _AWAY and state not in _AWAY:
            self._note(now_s, f"worker {known.index} is back")
        if state == MISSING and known.state not in _AWAY:
            self.lost = Lost(self.lost.workers + 1, steady_clock.now())
            known.users = 0
        known.state, known.seen_s = state, now_s
        return known

    def _note(self, now_s: float, text: str) -> None:
        if self.record is not None and self.running:
            self.record.note(max(0.0, now_s - self._epoch_s), "worker", text)

    def leave(self, present: Iterable[str], now_s: float) -> None:
        """Record that only these workers are connected."""
        for name in set(self.workers).difference(present):
            worker = self.workers[name]
            if worker.state not in _AWAY:
                self._note(now_s, f"worker {worker.index} left")
                self.ledger.discard_unused(name)
            worker.state, worker.users = GONE, 0
            if now_s - worker.seen_s > INDEX_KEPT_S:
                del self.workers[name]

    def begin(self, record: RunRecord, now_s: float) -> None:
        """Open a run. Its time line starts with the whole second that contains ``now_s``."""
        self.flush()
        record.labels = self.labels
        self.record = record
        self.ledger = Ledger(record.run_id)
        self.recent, self.watch = Recent(), Watch()
        self._refused_before = self.refused
        self._users_in, self._users_flushed = {}, -1
        self.ended_at = 0.0
        self._described = 0
        self._epoch_s = now_s - record.started_at % 1.0
        for name, worker in self.workers.items():
            worker.users = 0
            if worker.state not in _AWAY:
                self.ledger.expect(name, worker.index, now_s)

    def second_of(self, moment_s: float) -> int:
        """The second of the time line that contains a moment."""
        return max(0, math.floor(moment_s - self._epoch_s))

    def take(self, worker: str, data: bytes, offset_s: float) -> Acknowledgement | None:
        """Process a delta from a worker: see `take_all`, and `Arrival` for the arguments.

        Returns:
            The acknowledgement to send; None if it can wait.
        """
        return dict(self.take_all([Arrival(worker, data, offset_s)])).get(worker)

    def take_all(self, arrived: Sequence[Arrival]) -> Iterator[tuple[str, Acknowledgement]]:
        """Process deltas from workers. They are checked together, which costs little more than checking one.

        Returns:
            The acknowledgements that cannot wait, each with its worker; only the last one per worker is needed.
        """
        read = self._read(arrived)
        for (arrival, delta), summed in zip(read, packed.summed([delta.packed for _, delta in read]), strict=True):
            acknowledgement = self._take(arrival.worker, delta, summed, arrival.offset_s)
            if acknowledgement is not None:
                yield arrival.worker, acknowledgement

    def _read(self, arrived: Sequence[Arrival]) -> list[tuple[Arrival, Delta]]:
        """Return the intact deltas; refuse the others."""
        decoded = [(arrival, delta) for arrival in arrived if (delta := self._decoded(arrival)) is not None]
        try:
            packed.check([delta.packed for _, delta in decoded])
        except ValueError:  # at least one is damaged
            return [(arrival, delta) for arrival, delta in decoded if self._is_intact(arrival, delta)]
        return decoded

    def _decoded(self, arrival: Arrival) -> Delta | None:
        try:
            delta = Delta.decoded(arrival.data)
        except RecordError as error:
            self._refuse(arrival.worker, str(error))
            return None
        if delta.end_s > arrival.sent_s:
            late_s = delta.end_s - arrival.sent_s
            self._refuse(arrival.worker, f"delta {delta.sequence} ends {late_s:.3g} s after it was sent")
            return None
        return delta

    def _is_intact(self, arrival: Arrival, delta: Delta) -> bool:
        try:
            delta.check()
        except RecordError as error:
            self._refuse(arrival.worker, str(error))
            return False
        return True

    def _take(self, worker: str, delta: Delta, summed: Summed, offset_s: float) -> Acknowledgement | None:
        ledger = self._ledger_of(worker, delta, offset_s)
        if ledger is None:
            if delta.packed and not self._is_held(worker, delta):
                self._refuse(worker, f"run {delta.run!r} is not open, or the worker is not known")
            return Acknowledgement(delta.run, 0, refused=True)
        account = ledger.accounts[worker]
        repeated, users_before = account.repeated, account.users
        if ledger.take(worker, delta, offset_s):
            second = self.second_of((delta.start_s + delta.end_s) / 2 + offset_s) if delta.run else None
            if delta.packed:
                self._pending.setdefault(second, []).append(delta.packed)
            if second is not None:
                self._observe(worker, delta, summed)
                self._note_users(second, worker, users_before, delta.users)
        at_once = delta.final or account.repeated > repeated
        return ledger.acknowledgement(worker) if at_once else None

    def acknowledgement(self, worker: str) -> Acknowledgement | None:
        """The deltas of the open run that the master holds from a worker; None if the worker takes no part in it."""
        return self.ledger.acknowledgement(worker) if self.running and worker in self.ledger.accounts else None

    def _refuse(self, worker: str, why: str) -> None:
        self.refused += 1
        known = self.workers.get(worker)
        subject = f"worker {known.index}" if known else "unknown workers"
        self._refused_of[subject] = self._refused_of.get(subject, (0, ""))[0] + 1, why

    def _say_refused(self) -> None:
        """Log refused deltas once a second: a worker may resend another master's run every second."""
        for subject, (deltas, why) in self._refused_of.items():
            _log.warning("refused %d delta%s of %s: %s", deltas, "s" * (deltas > 1), subject, why)
        self._refused_of = {}

    def _is_held(self, worker: str, delta: Delta) -> bool:
        """Whether a delta belongs to the run that has ended, and was resent before its acknowledgement arrived."""
        account = self.ledger.accounts.get(worker)
        return delta.run == self.ledger.run and account is not None and account.holds(delta)

    def _ledger_of(self, worker: str, delta: Delta, offset_s: float) -> Ledger | None:
        """The ledger that a delta belongs to; None if it is refused."""
        ledger = self.ledger if delta.run else self._outside
        if delta.run != ledger.run or ledger.closed:
            return None
        if worker not in ledger.accounts:
            known = self.workers.get(worker)
            if known is None:
                return None
            ledger.expect(worker, known.index, delta.start_s + offset_s)
        return ledger

    def _note_users(self, second: int, worker: str, before: Mapping[str, int], now: Mapping[str, int]) -> None:
        """Record a worker's users, also those at the start of the second: users that stopped in it ran in it, too."""
        known = self._users_in.setdefault(second, {})
        if before == now and worker not in known:  # the usual case, on a path that runs for each worker in each second
            known[worker] = [now]
        else:
            known.setdefault(worker, [before]).append(now)

    def _observe(self, name: str, delta: Delta, summed: Summed) -> None:
        users = sum(delta.users.values())
        worker = self.workers.get(name)
        index = self.ledger.accounts[name].index
        self.watch.add(f"worker {index}", delta.health, delta.end_s - delta.start_s, users, *summed)
        if worker is not None:
            worker.users = users
            worker.cpu_ratio, worker.loop_lag_s = delta.health.cpu_ratio, delta.health.loop_lag_s
            worker.memory_ratio, worker.memory_bytes = delta.health.memory_ratio, delta.health.memory_bytes
            worker.received_bytes_per_s = delta.health.received_bytes_per_s
            worker.sent_bytes_per_s = delta.health.sent_bytes_per_s

    def observe_master(self, health: Health, seconds: float) -> None:
        """Add a health observation of the master."""
        self.master = health
        self.watch.add(MASTER, health, seconds, sum(self.users().values()))

    def users(self) -> dict[str, int]:
        """The running users by scenario, as the workers last reported."""
        return self._users_of({})

    def _users_of_second(self, second: int) -> dict[str, int]:
        """The users by scenario in a second: the highest total at its start or after any of the workers' reports.

        Users that move from one worker to another are in an earlier report of the one and in a later report of the
        other. So reports are summed in their order, and only once every worker has reported or the run is over.
        """
        reported = self._users_in.get(second, {})
        present = {name for name, worker in self.workers.items() if worker.state not in _AWAY}
        is_whole = not self.running or present & self.ledger.accounts.keys() <= reported.keys()
        reports = max(map(len, reported.values()), default=1) if is_whole else 1
        moments = [
            {name: users[min(moment, len(users) - 1)] for name, users in reported.items()} for moment in range(reports)
        ]
        is_past = second <= self._users_flushed
        return max((self._users_of(one, is_past=is_past) for one in moments), key=lambda users: sum(users.values()))

    def in_flight(self) -> InFlight:
        """The requests that wait for a response, as of the connected workers' last reports; none between runs."""
        connected = {name for name, worker in self.workers.items() if worker.state not in _AWAY}
        accounts = self.ledger.accounts.items() if self.running else ()
        return InFlight.sum(account.in_flight for name, account in accounts if name in connected)

    def _users_of(self, reported: Mapping[str, Mapping[str, int]], *, is_past: bool = False) -> dict[str, int]:
        """All workers' users by scenario: each worker's report of the second, or its last report if it is connected.

        For a past second the last report is not used: the users of a worker that was cut off run elsewhere by then.
        """
        users: dict[str, int] = {}
        for name, account in self.ledger.accounts.items():
            worker = self.workers.get(name)
            connected = worker is not None and worker.state not in _AWAY and not is_past
            for scenario, count in reported.get(name, account.users if connected else {}).items():
                users[scenario] = users.get(scenario, 0) + count
        return users

    def flush(self, complete_s: float | None = None) -> list[Second]:
        """Merge what arrived since the last flush into record, totals and time line, and return it by second.

        Args:
            complete_s: the second that contains this moment gets a point even if nothing arrived.
        """
        self._say_refused()
        if complete_s is not None and self.running:
            self._pending.setdefault(self.second_of(complete_s), [])
        pending, self._pending = self._pending, {}
        flushed: list[Second] = []
        for second, parts in sorted(pending.items(), key=lambda item: item[0] or 0):
            measured = packed.merge(parts, self.labels)
            self.totals.add(measured)
            if second is not None and self.record is not None:
                users = self._users_of_second(second)
                self.record.add(measured, second)
                self.recent.add(second, measured)
                self.record.timeline.set_users(second, sum(users.values()))
                flushed.append(Second(second, measured, users))
        if flushed:
            if self.record is not None:
                self.record.note_connections(flushed[-1].second, self.in_flight().connections)
            self._users_flushed = max(self._users_flushed, flushed[-1].second)
            oldest = self._users_flushed - WINDOW
            self._users_in = {second: users for second, users in self._users_in.items() if second > oldest}
        if self.record is not None and self.running:
            alive = {name for name, worker in self.workers.items() if worker.state not in _AWAY}
            self.record.delivery = self._delivery(alive)
            self._describe_workers()
        return flushed

    def _describe_workers(self) -> None:
        """Update the record's summary of the workers every few seconds: only readers of the file need it."""
        if self.record is not None and self._described <= 0:
            self.record.workers = self.watch.summary()
            self._described = DESCRIBE_EVERY
        self._described -= 1

    def reset(self, now_s: float) -> None:
        """Reset the counts of the current run; the totals continue."""
        if self.record is not None and self.running:
            self.record.reset(self.second_of(now_s))
            self.recent = Recent()

    def end(self) -> list[Second]:
        """Close the run, so that later deltas are refused, and return its last seconds."""
        self.ledger.closed = True
        flushed = self.flush()
        self.recent = Recent()
        self.ended_at = steady_clock.now()
        if self.record is not None:
            self.record.delivery = self._delivery(alive=())
            self.record.workers = self.watch.summary()
            self.record.ended = True
        return flushed

    def _delivery(self, alive: Collection[str]) -> Delivery:
        missing = [
            Missing(
                account.index,
                gap.deltas,
                round(gap.start_s - self._epoch_s, 3),
                None if gap.end_s is None else round(gap.end_s - self._epoch_s, 3),
            )
            for account, gap in self.ledger.gaps(alive)
        ]
        return Delivery(
            completeness=self.ledger.completeness(alive),
            missing=tuple(sorted(missing, key=lambda gap: (gap.start_s, gap.worker))),
            refused=self.refused - self._refused_before,
            repeated=sum(account.repeated for account in self.ledger.accounts.values()),
        )

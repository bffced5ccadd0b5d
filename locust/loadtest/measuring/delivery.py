"""Delivery of deltas from worker to master: none is lost silently, and none is counted twice.

A worker's `Reporter` cuts its counts into deltas, numbered 1, 2, 3 … within a run. Its `Outbox` keeps each delta until
the master has acknowledged it, and resends it if no acknowledgement arrives. The master's `Ledger` accepts each number
of each worker once, and knows which are missing. All are plain objects without sockets or clocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.measuring.in_flight import NONE_IN_FLIGHT, InFlight
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.wire import Delta

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from loadtest.measuring.health import Health
    from loadtest.measuring.measurements import ExceptionCount
    from loadtest.measuring.recorder import Recorder

WINDOW: Final = 120
"""The maximum number of unacknowledged deltas that a worker keeps. At this limit it continues counting into the next
delta, which then spans more than a second: an outage of the master costs time resolution but no samples, and memory
stays bounded."""
RESEND_AFTER_S: Final = 8.0
"""Seconds after which a worker resends an unacknowledged delta. The master acknowledges with its answer to a heartbeat,
every other second; final and repeated deltas at once."""
BATCH: Final = 30
"""The maximum number of deltas per message."""


class Acknowledgement(NamedTuple):
    """The deltas of a worker's run that the master holds: all numbers up to ``upto``, and those in ``beyond``."""

    run: str
    upto: int
    beyond: tuple[int, ...] = ()
    refused: bool = False
    """Whether the master refuses this run, so that its deltas can be dropped."""


@dataclass(slots=True)
class _Unacknowledged:
    data: bytes
    sent_s: float


class Outbox:
    """A worker's deltas until the master has acknowledged them."""

    def __init__(self) -> None:
        """Create an empty outbox."""
        self._last: dict[str, int] = {}
        self._waiting: dict[tuple[str, int], _Unacknowledged] = {}

    def __len__(self) -> int:
        """The number of unacknowledged deltas."""
        return len(self._waiting)

    def has_room(self) -> bool:
        """Whether there is room for another delta; if not, keep counting into the next one."""
        return len(self._waiting) < WINDOW

    def next_sequence(self, run: str) -> int:
        """The number of the run's next delta."""
        return self._last.get(run, 0) + 1

    def put(self, delta: Delta, now_s: float) -> bytes:
        """Keep a delta until it is acknowledged, and return the bytes to send."""
        # Numbers of earlier runs are forgotten; those of samples outside any run (run "") continue.
        self._last = {run: last for run, last in self._last.items() if not run or run == delta.run}
        self._last[delta.run] = delta.sequence
        waiting = self._waiting[delta.run, delta.sequence] = _Unacknowledged(delta.to_bytes(), now_s)
        return waiting.data

    def due(self, now_s: float, resend_after_s: float = RESEND_AFTER_S) -> list[bytes]:
        """The deltas to resend now, oldest first, at most `BATCH`."""
        late = [waiting for waiting in self._waiting.values() if now_s - waiting.sent_s >= resend_after_s][:BATCH]
        for waiting in late:
            waiting.sent_s = now_s
        return [waiting.data for waiting in late]

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Remove the deltas that the master holds or refuses."""
        held = set(acknowledgement.beyond)
        for run, sequence in list(self._waiting):
            if run == acknowledgement.run and (
                acknowledgement.refused or sequence <= acknowledgement.upto or sequence in held
            ):
                del self._waiting[run, sequence]


class Reporter:
    """Cuts the counts of a worker's recorder into numbered deltas. Times are the worker's monotonic seconds."""

    def __init__(  # noqa: PLR0917 - what a delta is made of
        self,
        recorder: Recorder,
        outbox: Outbox,
        users: Callable[[], Mapping[str, int]],
        health: Callable[[], Health],
        in_flight: Callable[[], InFlight] = InFlight,
        raised: Callable[[], Iterable[ExceptionCount]] = tuple,
    ) -> None:
        """Create a reporter outside any run.

        Args:
            recorder: counts the samples.
            outbox: keeps deltas until they are acknowledged.
            users: returns the running users by scenario.
            health: returns the Health since its last call.
            in_flight: returns the requests that wait for a response.
            raised: returns what listeners in this process raised since its last call.
        """
        self._recorder = recorder
        self._outbox = outbox
        self._users = users
        self._health = health
        self._in_flight = in_flight
        self._raised = raised
        self._start_s = 0.0
        self._observed: Health | None = None
        self.run = ""
        """The run that new samples belong to; empty outside any run."""
        self.finished = True
        """Whether the run's users have stopped and its last delta has been cut."""

    def begin(self, run: str, now_s: float) -> list[bytes]:
        """Begin a run; returns the delta to send with samples from before it, if there are any."""
        stragglers = self._cut(now_s, final=True)
        self.run, self.finished, self._start_s = run, False, now_s
        self._recorder.forget_evidence()
        self._health()
        self._observed = None
        return stragglers

    def observe(self) -> None:
        """Take the health for the next `cut`. Reading it takes long enough for a turn of its own."""
        if not self.finished and self._outbox.has_room():
            self._observed = self._health()

    def cut(self, now_s: float) -> list[bytes]:
        """The delta since the last one, to be sent; none if the outbox has no room.

        After the run's end, there is a delta only if more samples have arrived.
        """
        if self.finished:
            return self._cut(now_s, final=True)
        self._count_raised()
        return [self._delta(now_s, final=False)] if self._outbox.has_room() else []

    def finish(self, now_s: float) -> list[bytes]:
        """The run's last delta, to be sent even if the outbox has no room."""
        return self._cut(now_s, final=True) if self.finished else self.answer(now_s)

    def answer(self, now_s: float) -> list[bytes]:
        """A last delta, even after an earlier one: it answers a drain, and tells the master that it has everything."""
        self.finished = True
        self._count_raised()
        return [self._delta(now_s, final=True)]

    def _cut(self, now_s: float, *, final: bool) -> list[bytes]:
        """A delta, if anything was counted."""
        self._recorder.fold_all()
        return [self._delta(now_s, final=final)] if self._recorder.has_counts() else []

    def _count_raised(self) -> None:
        """Count what listeners raised during a run. Those of init and of its test_start run before it begins."""
        for exception in self._raised():
            self._recorder.count_exception(exception)

    def _delta(self, now_s: float, *, final: bool) -> bytes:
        delta = Delta(
            run=self.run,
            sequence=self._outbox.next_sequence(self.run),
            start_s=self._start_s,
            end_s=now_s,
            final=final,
            users=self._users(),
            health=self._health() if self._observed is None else self._observed,
            packed=PackedMeasurements.of(self._recorder.take()),
            in_flight=self._in_flight(),
        )
        self._start_s, self._observed = now_s, None
        return self._outbox.put(delta, now_s)


class Gap(NamedTuple):
    """Deltas of one worker that the master does not hold, with their interval on the master's clock."""

    deltas: int
    start_s: float
    end_s: float | None
    """None when the worker ended without a final delta, at an unknown time."""


@dataclass(slots=True)
class Account:
    """What the master holds from one worker in one run."""

    index: int
    """The worker's index: see `collector.Worker`."""
    start_s: float
    """When the worker's part in the run began, on the master's clock."""
    upto: int = 0
    upto_end_s: float = 0.0
    beyond: dict[int, tuple[float, float]] = field(default_factory=dict)
    final: int = 0
    """The highest number that was marked as final; 0 if none was."""
    repeated: int = 0
    users: dict[str, int] = field(default_factory=dict)
    in_flight: InFlight = NONE_IN_FLIGHT

    @property
    def held(self) -> int:
        """The number of deltas that the master holds."""
        return self.upto + len(self.beyond)

    @property
    def highest(self) -> int:
        """The highest number that has arrived."""
        return max(self.beyond) if self.beyond else self.upto

    def expected(self, *, alive: bool = False) -> int:
        """The number of deltas that the worker made, as far as is known.

        A worker that has gone without a final delta lost the one that it was counting.
        """
        ended_well = self.final > 0 and self.final == self.highest
        return self.highest + (0 if alive or ended_well else 1)

    def holds(self, delta: Delta) -> bool:
        """Whether a delta's number was entered earlier."""
        return delta.sequence <= self.upto or delta.sequence in self.beyond

    def take(self, delta: Delta, offset_s: float) -> bool:
        """Enter a delta; returns False if its number was entered earlier."""
        if self.holds(delta):
            self.repeated += 1
            return False
        self.beyond[delta.sequence] = (delta.start_s + offset_s, delta.end_s + offset_s)
        if delta.sequence == self.highest:
            self.users, self.in_flight = dict(delta.users), delta.in_flight
        if delta.final:
            self.final = max(self.final, delta.sequence)
        while self.upto + 1 in self.beyond:
            self.upto += 1
            self.upto_end_s = self.beyond.pop(self.upto)[1]
        return True

    def gaps(self, *, alive: bool = False) -> Iterator[Gap]:
        """The missing deltas, in order."""
        if self.held == self.expected(alive=alive):
            return
        sequence, end_s = self.upto, self.upto_end_s or self.start_s
        for known in sorted(self.beyond):
            start_of_known_s, end_of_known_s = self.beyond[known]
            if known > sequence + 1:
                yield Gap(known - sequence - 1, end_s, start_of_known_s)
            sequence, end_s = known, end_of_known_s
        if self.expected(alive=alive) > sequence:
            yield Gap(1, end_s, None)


class Ledger:
    """The deltas of one run that the master holds, by worker."""

    def __init__(self, run: str) -> None:
        """Open the ledger of a run."""
        self.run = run
        self.accounts: dict[str, Account] = {}
        self.closed = False

    def expect(self, worker: str, index: int, now_s: float) -> Account:
        """Open a worker's account, from which its deltas are expected."""
        if worker not in self.accounts:
            self.accounts[worker] = Account(index, now_s)
        return self.accounts[worker]

    def discard_unused(self, worker: str) -> None:
        """Discard the account of a worker that left properly before it sent anything: nothing of it is missing."""
        if worker in self.accounts and not self.accounts[worker].highest:
            del self.accounts[worker]

    def take(self, worker: str, delta: Delta, offset_s: float) -> bool:
        """Enter a delta; returns True if it is to be counted, False if it was counted earlier or is refused.

        Args:
            worker: its sender, whose account must be open.
            delta: the delta.
            offset_s: the master's clock minus the worker's, in seconds.
        """
        if self.closed or delta.run != self.run or worker not in self.accounts:
            return False
        return self.accounts[worker].take(delta, offset_s)

    def acknowledgement(self, worker: str) -> Acknowledgement:
        """The acknowledgement for this worker."""
        account = self.accounts.get(worker)
        if account is None or self.closed:
            return Acknowledgement(self.run, 0, refused=True)
        return Acknowledgement(self.run, account.upto, tuple(account.beyond))

    def highest(self, worker: str) -> int:
        """The highest number that has arrived from a worker; 0 if none has."""
        account = self.accounts.get(worker)
        return account.highest if account is not None else 0

    def all_final(self, workers: Iterable[str], asked: Mapping[str, int]) -> bool:
        """Whether the last deltas of these workers have arrived, without a gap before them.

        Args:
            workers: the workers to wait for; one that has just joined may not have sent anything yet.
            asked: the highest number of each worker when it was asked for its last delta. A worker that stopped and
                continued has an earlier final delta, which does not count as an answer.
        """
        accounts = ((self.accounts.get(name), asked[name]) for name in workers)
        return all(
            account is not None and account.held == account.expected() and account.highest > before
            for account, before in accounts
        )

    def completeness(self, alive: Container[str] = ()) -> float:
        """The share of the workers' deltas that have arrived, 0 to 1; 1 if none is expected.

        Args:
            alive: the workers that still run; the delta that they are currently counting is not missing yet.
        """
        expected = sum(account.expected(alive=name in alive) for name, account in self.accounts.items())
        return sum(account.held for account in self.accounts.values()) / expected if expected else 1.0

    def gaps(self, alive: Container[str] = ()) -> Iterator[tuple[Account, Gap]]:
        """The missing deltas, by worker."""
        for name, account in self.accounts.items():
            for gap in account.gaps(alive=name in alive):
                yield account, gap

"""Cuts a worker's samples into numbered deltas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.measuring.delta import Delta
from loadtest.measuring.packed import PackedMeasurements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadtest.measuring.delivery import Outbox
    from loadtest.measuring.health import Health
    from loadtest.measuring.recorder import Recorder


class Reporter:
    """One worker's side of a run. Times are the worker's monotonic seconds."""

    def __init__(
        self,
        recorder: Recorder,
        outbox: Outbox,
        users: Callable[[], Mapping[str, int]],
        health: Callable[[], Health],
    ) -> None:
        """Report what the recorder counted.

        Args:
            recorder: where the samples are.
            outbox: keeps what is not acknowledged.
            users: the running users by scenario.
            health: the Health since it was last asked.
        """
        self._recorder = recorder
        self._outbox = outbox
        self._users = users
        self._health = health
        self._start_s = 0.0
        self.run = ""
        """The run that samples belong to; empty outside any run."""
        self.finished = True
        """Whether the run's users were stopped and its last delta was cut."""

    def begin(self, run: str, now_s: float) -> list[bytes]:
        """Begin a run; returns what to send for samples that nobody asked for before."""
        stragglers = self._cut(now_s, final=True)
        self.run, self.finished, self._start_s = run, False, now_s
        self._health()
        return stragglers

    def cut(self, now_s: float) -> list[bytes]:
        """The delta since the last one, to be sent; none when the window of unacknowledged deltas is full.

        After the run's end only samples that still came make a delta.
        """
        if self.finished:
            return self._cut(now_s, final=True)
        return [self._delta(now_s, final=False)] if self._outbox.has_room() else []

    def finish(self, now_s: float) -> list[bytes]:
        """The run's last delta, to be sent; the window does not hold it back."""
        return self._cut(now_s, final=True) if self.finished else self.answer(now_s)

    def answer(self, now_s: float) -> list[bytes]:
        """A last delta even if there was one before: the answer to a drain, by which the master knows them all."""
        self.finished = True
        return [self._delta(now_s, final=True)]

    def _cut(self, now_s: float, *, final: bool) -> list[bytes]:
        """A delta only if anything was counted."""
        self._recorder.fold_all()
        return [self._delta(now_s, final=final)] if self._recorder.has_counts() else []

    def _delta(self, now_s: float, *, final: bool) -> bytes:
        delta = Delta(
            run=self.run,
            sequence=self._outbox.next_sequence(self.run),
            start_s=self._start_s,
            end_s=now_s,
            final=final,
            users=self._users(),
            health=self._health(),
            packed=PackedMeasurements.of(self._recorder.take()),
        )
        self._start_s = now_s
        return self._outbox.put(delta, now_s)

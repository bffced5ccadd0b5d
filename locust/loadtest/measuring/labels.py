"""Labels: the row numbers of series and scenarios, in one bounded numbering per process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

MAX_SERIES: Final = 2_000
"""Maximum number of series (scenario, method, name) that are counted separately; further names count as ``other``."""
MAX_OTHER_SERIES: Final = 200
"""The maximum number of combinations of scenario and method that get their own ``other``."""
MAX_SCENARIOS: Final = 100
MAX_HOSTS: Final = 20
"""The maximum number of host:port pairs, per process, with their own connection counts; further ones are ``other``."""
MAX_LABEL_CHARS: Final = 200
"""The maximum length of a label. Longer ones are truncated, so labels with the same beginning count together."""
OTHER: Final = "other"
LOAD: Final = "load"
SETUP: Final = "setup"
"""The phases that requests belong to. Requests in on_start and on_stop are set-up; only load is judged."""
TRANSACTION: Final = "transaction"
CHECK: Final = "check"
"""What is measured in addition to requests: see `loadtest.users.steps`. Each is kept separately, like a phase."""
ITERATION: Final = "iteration"
"""One execution of a task, from its intended start to its end, by scenario only; kept separately likewise."""
STARTING: Final = "on_start"
"""An on_start that took `LATE_START_S` seconds or more, by scenario only; kept separately likewise."""
LATE_START_S: Final = 3.0
FIRST_BYTE: Final = "first_byte"
FIRST_EVENT: Final = "first_event"
EVENT_GAP: Final = "event_gap"
ENDED_BY: Final = {who: f"ended_by_{who}" for who in ("server", "user", "timeout", "error")}
STREAM_PHASES: Final = (FIRST_BYTE, FIRST_EVENT, EVENT_GAP, *ENDED_BY.values())
"""The phases of one streamed response: until its first byte, until its first event, between two events, and the whole
by what ended it. Each is counted like a request of its own, but is in no figure of requests; see `streams`."""
DNS: Final = "dns"
CONNECT: Final = "connect"
TLS: Final = "tls"
WAITING: Final = "waiting"
RECEIVING: Final = "receiving"
CONNECTION_PHASES: Final = (DNS, CONNECT, TLS, WAITING, RECEIVING)
"""The phases of a new connection (DNS look-up, TCP, TLS), of the response to its first request, and of other responses
that arrived in parts (from the request to the first byte, from there to the last). Each is counted like a request of
its own whose name is host and port, but is in no figure of requests."""
PAIR: Final = "pair"
"""A pair of requests in a duet that both succeeded. Its time is the duration of the new service's request divided by
that of the base's: 1 s means equal."""
PAIRS: Final = {
    "both_succeeded": PAIR,
    **{outcome: f"pair_{outcome}" for outcome in ("base_failed", "new_failed", "both_failed", "alone")},
}
"""The phases of a duet's pairs of requests, by outcome. ``alone`` is a request without a counterpart."""
PHASES: Final = (
    *(LOAD, SETUP, TRANSACTION, CHECK, ITERATION, STARTING),
    *(*STREAM_PHASES, *CONNECTION_PHASES, *PAIRS.values()),
)

_REMEMBERED: Final = 512  # sets of labels whose rows are cached


class SeriesKey(NamedTuple):
    """The labels of a series."""

    scenario: str
    method: str
    name: str
    phase: str = LOAD
    """One of `PHASES`."""


def readable(label: str) -> str:
    """A label that every program can read: cut to `MAX_LABEL_CHARS`, with ``?`` for anything that is not a character,
    such as half of a surrogate pair from undecoded bytes.
    """
    cut = label[:MAX_LABEL_CHARS]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


class Labels:
    """Row numbers by labels. A row is never removed or changed."""

    def __init__(self) -> None:
        """Create an empty numbering."""
        self.keys: list[SeriesKey] = []
        self.scenarios: list[str] = []
        self._rows: dict[SeriesKey, int] = {}
        self._scenario_rows: dict[str, int] = {}
        # By identity, because hashing hundreds of labels costs more than merging their counts. The set itself is stored
        # with its rows, so that its identity is not reused.
        self._remembered: dict[int, tuple[tuple[SeriesKey, ...], Ints]] = {}

    def bounded(self, key: SeriesKey) -> SeriesKey:
        """The labels that a series counts under: its own, or ``other`` beyond the limits."""
        if key in self._rows or len(self.keys) < MAX_SERIES:
            return key
        other = key._replace(name=OTHER)
        if other in self._rows or len(self.keys) < MAX_SERIES + MAX_OTHER_SERIES:
            return other
        return SeriesKey(OTHER, OTHER, OTHER, key.phase)

    def row(self, key: SeriesKey) -> int:
        """The row of a series."""
        key = self.bounded(key)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self.keys)
            self.keys.append(key)
        return row

    def rows(self, series: tuple[SeriesKey, ...]) -> Ints:
        """The rows of several series; fast if the identical tuple is passed again."""
        remembered = self._remembered.get(id(series))
        if remembered is not None:
            return remembered[1]
        rows = np.array([self.row(key) for key in series], np.int64)
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[id(series)] = (series, rows)
        return rows

    def scenario_row(self, scenario: str) -> int:
        """The row of a scenario."""
        if scenario not in self._scenario_rows:
            if len(self.scenarios) >= MAX_SCENARIOS and scenario != OTHER:
                return self.scenario_row(OTHER)
            self._scenario_rows[scenario] = len(self.scenarios)
            self.scenarios.append(scenario)
        return self._scenario_rows[scenario]

    def scenario_rows(self, scenarios: tuple[str, ...]) -> Ints:
        """The rows of several scenarios."""
        return np.array([self.scenario_row(scenario) for scenario in scenarios], np.int64)

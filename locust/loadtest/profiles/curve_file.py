"""CurveFile: a file of measured load as a profile of the open model.

- A CSV file with two columns, time and arrivals per second: each rate holds until the next time.
- Prometheus' response to a range query in a .json file, with rates per second as values.
- A CSV file with one column: the time of each single arrival.

Times are seconds, Unix times in seconds or milliseconds, or ISO 8601; the first one is the beginning of the run.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from loadtest import untrusted
from loadtest.exceptions import UsageError
from loadtest.profiles.curve import Stage
from loadtest.settings.data_file import DataFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

ENDINGS: Final = (".csv", ".csv.gz", ".json")
"""The file extensions that distinguish a file from a profile's name."""
MAX_RATES: Final = 10_000
MAX_STARTS: Final = 500_000
LONGEST_S: Final = 7 * 24 * 3600
HIGHEST_PER_S: Final = 1_000_000
_LARGEST_BYTES: Final = 64 * 1024 * 1024
_MAX_VALUES: Final = 1_000_000
_MAX_STAGES: Final = 500
_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""A Unix time above this is in fractions of a second; in seconds it would be after the year 5000."""
_FURTHEST_S: Final = 6e10
"""The furthest time from 1970, about 1,900 years: every date within it can be calculated with and shown."""
_APART_S: Final = 1e-6
"""Arrivals at the same time are moved this far apart, so that each has its own time."""
_ALLOWED: Final = (
    "a CSV file with a header row and the columns time and rate, or the times of single arrivals alone, or a .json "
    "file with Prometheus' response to a range query"
)
_PAIR: Final = 2


class CurveFile:
    """The load of a file.

    Attributes:
        stages: the rates.
        starts: the times of single arrivals, in seconds from the first one, as little-endian doubles; empty if the file
            has rates.

    Raises:
        UsageError: when the file cannot be read, with line and column of what is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._file = DataFile(path, f"PROFILE={path}")
        points = list(self._prometheus(path) if path.suffix == ".json" else self._table())
        if not points:
            raise self._file.wrong(1, 1, "no load", _ALLOWED)
        self.starts = b""
        if points[0][1] is None:
            self.stages, self.starts = _of_starts(np.array([time_s for time_s, _, _ in points]))
        else:
            self.stages = self._of_rates([(time_s, rate or 0.0, line) for time_s, rate, line in points])

    def _table(self) -> Iterator[tuple[float, float | None, int]]:
        """Yield time, rate and line of each row."""
        rows = self._file.table(_ALLOWED)
        line, header = next(rows, (1, []))
        if not 1 <= len(header) <= _PAIR or any(map(_is_number, header)):
            raise self._file.wrong(line, 1, "not a header row with one or two columns", _ALLOWED)
        most = MAX_RATES if len(header) == _PAIR else MAX_STARTS
        before_s = -math.inf
        for number, (at, row) in enumerate(rows, 1):
            if number > most:
                raise self._file.wrong(at, 1, f"more than {most:,} rows", f"at most {most:,}")
            time_s = self._time_s(row[0], at)
            if time_s < before_s or (time_s == before_s and len(row) == _PAIR):
                raise self._file.wrong(at, 1, f"the time {row[0]!r} is not after the one before", "ascending times")
            before_s = time_s
            yield time_s, self._rate(row[1], at, len(row[0]) + 2) if len(row) == _PAIR else None, at

    def _prometheus(self, path: Path) -> Iterator[tuple[float, float, int]]:
        try:
            text = untrusted.read_file(path, _LARGEST_BYTES)
            answer = untrusted.parse_json(text, _MAX_VALUES)
        except json.JSONDecodeError as error:
            raise self._file.wrong(error.lineno, error.colno, f"not JSON ({error.msg})", _ALLOWED) from error
        except UnicodeDecodeError:
            self._file.text()  # with the position
            raise
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(
                f"PROFILE={path} cannot be read ({reason}). Allowed: {_ALLOWED}. Next: correct it."
            ) from error
        values = self._one_series(answer)
        if len(values) > MAX_RATES:
            self._refuse(f"it holds {len(values):,} values", f"at most {MAX_RATES:,}: query with a longer step")
        before_s = -math.inf
        for pair in values:
            if not isinstance(pair, list) or len(pair) != _PAIR:
                self._refuse(f"{str(pair)[:40]!r} is not a pair of time and value", _ALLOWED)
            time_s = self._time_s(str(pair[0]), 1)
            if time_s <= before_s:
                self._refuse(f"the time {pair[0]} is not after the one before", "ascending times")
            before_s = time_s
            yield time_s, self._rate(str(pair[1]), 1, 1), 1

    def _one_series(self, answer: Any) -> list[Any]:
        data = answer.get("data") if isinstance(answer, dict) else None
        result = data.get("result") if isinstance(data, dict) else None
        if not isinstance(result, list) or not isinstance(data, dict) or data.get("resultType") != "matrix":
            self._refuse("it is not the response to a range query (resultType matrix)", _ALLOWED)
        if len(result) != 1:
            self._refuse(f"the answer holds {len(result)} series", "one: query with sum(rate(…))")
        values = result[0].get("values") if isinstance(result[0], dict) else None
        if not isinstance(values, list):
            self._refuse("its series has no values", _ALLOWED)
        return values

    def _refuse(self, found: str, allowed: str) -> NoReturn:
        raise self._file.wrong(1, 1, found, allowed)

    def _time_s(self, text: str, line: int) -> float:
        try:
            return time_s(text)
        except ValueError:
            allowed = "seconds, a Unix time, or ISO 8601 such as 2026-01-31T12:00:00Z"
            raise self._file.wrong(line, 1, f"{text[:40]!r} is not a time", allowed) from None

    def _rate(self, text: str, line: int, column: int) -> float:
        try:
            rate = float(text)
        except ValueError:
            rate = math.nan
        if not 0 <= rate <= HIGHEST_PER_S:
            allowed = f"a number from 0 to {HIGHEST_PER_S:,}"
            raise self._file.wrong(line, column, f"{text[:40]!r} is not a rate", allowed)
        return rate

    def _of_rates(self, points: list[tuple[float, float, int]]) -> tuple[Stage, ...]:
        """Return the stages; the last rate holds as long as the one before it."""
        if len(points) == 1:
            self._refuse("a single rate, so its duration is unknown", "two or more")
        if not any(rate for _, rate, _ in points):
            self._refuse("every rate is 0", "a rate above 0")
        lengths_s = [after - before for (before, _, _), (after, _, _) in pairwise(points)]
        lengths_s.append(lengths_s[-1])
        if sum(lengths_s) > LONGEST_S:
            self._refuse(f"it lasts {sum(lengths_s):,.0f} s", f"at most {LONGEST_S:,} s")
        return tuple(Stage(length_s, rate, "step") for length_s, (_, rate, _) in zip(lengths_s, points, strict=True))


def time_s(text: str) -> float:
    """Return the seconds of a time: a number of seconds, a Unix time in seconds or parts of them, or ISO 8601.

    Raises:
        ValueError: when it is none.
    """
    try:
        number = float(text)
    except ValueError:
        found = datetime.fromisoformat(text.strip())
        found_s = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    else:
        found_s = number / next((unit for above, unit in _UNITS if abs(number) > above), 1.0)
    if not abs(found_s) <= _FURTHEST_S:  # NaN is not either
        raise ValueError("it is too far from 1970")
    return found_s


def _of_starts(times_s: npt.NDArray[np.float64]) -> tuple[tuple[Stage, ...], bytes]:
    """Return the rates of stages of equal length, and the times from the first one."""
    starts_s = times_s - times_s[0]
    apart_s = np.arange(len(starts_s)) * _APART_S
    starts_s = np.maximum.accumulate(starts_s - apart_s) + apart_s
    length_s = max(float(starts_s[-1]) * (1 + 1 / len(starts_s)), 1.0)
    counts, edges = np.histogram(starts_s, bins=max(1, min(_MAX_STAGES, int(length_s))), range=(0.0, length_s))
    width_s = float(edges[1])
    return tuple(Stage(width_s, int(count) / width_s, "step") for count in counts), starts_s.astype("<f8").tobytes()


def _is_number(text: str) -> bool:
    try:
        time_s(text)
    except ValueError:
        return False
    return True

"""RunFigures: the part of a run that a history keeps: each figure of each name with its standard error.

They are computed once from the run's record and kept next to it in figures.json, because a history of a thousand runs
could not read a thousand records each time. If the folder is not writable, they are computed again.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from loadtest import atomic_file, untrusted
from loadtest.comparing import baselines
from loadtest.comparing.comparability import conditions
from loadtest.comparing.difference import METRICS, requests_needed
from loadtest.estimating.blocked_run import BlockedRun, Name
from loadtest.estimating.resampling import MIN_SEGMENTS, Resampling, segment_lengths
from loadtest.reporting import document as run_document
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from loadtest.estimating.resampling import Estimate
    from loadtest.reporting.document import Document

FILE: Final = "figures.json"
_FORMAT: Final = 2
_DRAWS: Final = 200
"""The number of resamples, with which the standard error of a standard error is 5 %, enough for a weight."""
_LARGEST: Final = 100
"""The largest value, which is a logarithm or a share, and the largest error."""
_LONGEST_BYTES: Final = 16 * 1024 * 1024
_MAX_VALUES: Final = 500_000
Figure = tuple[float, float]
"""A value and its standard error, as in `loadtest.estimating.resampling.Estimate`: times and throughput as
logarithms."""


@dataclass(frozen=True)
class RunFigures:
    """The figures of one run.

    Attributes:
        run_id: the name of its folder.
        started_at: in ISO 8601.
        key: scenario and profile.
        verdict: its outcome.
        conditions: what must be equal in all runs of a history.
        versions: of the service and of the scenario's repository; None if unknown.
        figures: by name, then by metric; those with too few requests are missing.
    """

    run_id: str
    started_at: str
    key: str
    verdict: str
    conditions: Mapping[str, Any]
    versions: Mapping[str, str | None]
    figures: Mapping[Name, Mapping[str, Figure]]

    @classmethod
    def of(cls, document: Document, run_id: str) -> Self:
        """Compute the figures from a run's document.

        Raises:
            RecordError: when its blocks are damaged.
        """
        run = BlockedRun.of(document)
        resampling = Resampling(run, seed=1, draws=_DRAWS, segments=_segments(run))
        source = document["context"].get("source") or {}
        return cls(
            run_id,
            str(document["started_at"]),
            baselines.key_of(document),
            str(document["verdict"]["name"]),
            conditions(document),
            _versions({"service": run_document.service_version(document), "scenario": source.get("commit")}),
            {name: _figures(resampling.estimates(series)) for name, series in run.series.items()},
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the figures of a run's folder, computed now if they are not kept or are older than the record.

        Raises:
            RecordError: when the folder's record cannot be read.
        """
        if (kept := cls.kept(folder)) is not None:
            return kept
        with run_document.reading(folder):
            found = cls.of(run_document.read(folder), folder.name)
        with suppress(OSError):
            found.write(folder)
        return found

    @classmethod
    def kept(cls, folder: Path) -> Self | None:
        """Return the figures kept in a run's folder; None if there are none, or they are older than the record."""
        path = folder / FILE
        with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
            record = RunFolder(folder).record
            if path.stat().st_mtime_ns >= record.stat().st_mtime_ns:
                data = untrusted.read_file(path, _LONGEST_BYTES)
                untrusted.check_json(data, _MAX_VALUES)
                return cls._from_dict(orjson.loads(data), folder.name)
        return None

    def write(self, folder: Path) -> None:
        """Write the figures to a run's folder.

        Raises:
            OSError: when it cannot be written.
        """
        atomic_file.replace(folder / FILE, self.text().encode())

    def text(self) -> str:
        """Return the content of the file."""
        return json.dumps(self._as_dict(), separators=(",", ":"))

    def _as_dict(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "started_at": self.started_at,
            "key": self.key,
            "verdict": self.verdict,
            "conditions": self.conditions,
            "versions": self.versions,
            "figures": [
                [*name, *(by_metric.get(metric) for metric in METRICS)] for name, by_metric in self.figures.items()
            ],
        }

    @classmethod
    def _from_dict(cls, kept: dict[str, Any], run_id: str) -> Self:
        if kept["format"] != _FORMAT:
            raise ValueError("another version of loadtest wrote it")
        figures = {
            Name(*map(str, row[:3])): {
                metric: _checked(*figure) for metric, figure in zip(METRICS, row[3:], strict=True) if figure is not None
            }
            for row in kept["figures"]
        }
        started_at, key, verdict = (str(kept[name]) for name in ("started_at", "key", "verdict"))
        return cls(run_id, started_at, key, verdict, dict(kept["conditions"]), _versions(kept["versions"]), figures)


def _segments(run: BlockedRun) -> dict[str, int]:
    """Return the number of blocks in a segment, by figure: of a run that is too short for its slow fluctuations, fewer.

    Segments as long as the run would all be alike, and a figure of which least is known would have no error at all.
    """
    most = max(1, math.ceil(run.blocks ** (1 / 3)), run.blocks // MIN_SEGMENTS)
    return {figure: min(length, most) for figure, length in segment_lengths(run).items()}


def _versions(found: Mapping[str, Any]) -> dict[str, str | None]:
    return {what: None if version is None else str(version) for what, version in found.items()}


def _checked(value: float, error: float) -> Figure:
    if not (abs(value) < _LARGEST and 0 <= error < _LARGEST):
        raise ValueError(f"{value} with an error of {error} is not a figure")
    return float(value), float(error)


def _figures(estimates: dict[str, Estimate]) -> dict[str, Figure]:
    found = {}
    for metric, estimate in estimates.items():
        if estimate.requests < requests_needed(metric) or not estimate.value >= 0:
            continue
        if metric == "error_ratio":
            found[metric] = (estimate.value, max(estimate.error, _binomial_error(estimate)))
        elif estimate.value > 0:
            found[metric] = (math.log(estimate.value), estimate.error)
    return found


def _binomial_error(estimate: Estimate) -> float:
    """Return the standard error of a share of independent requests, with one failure and one success added."""
    share = (estimate.value * estimate.requests + 1) / (estimate.requests + 2)
    return math.sqrt(share * (1 - share) / estimate.requests)

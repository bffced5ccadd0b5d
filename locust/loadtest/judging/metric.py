"""Metric: a figure of a run that a rule can limit, with its labels, units and range.

Tested in tests/unit/judging/test_threshold_parser.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from loadtest.measuring import labels
from loadtest.measuring.histogram import HIGHEST_NS
from loadtest.measuring.labels import LOAD, SETUP


@dataclass(frozen=True)
class Metric:
    """A figure that a rule can limit.

    Attributes:
        kind: determines the units: "time", "ratio", "rate", "count" or "size".
        labels: the labels that a selector can use.
        meaning: a description for people.
        phase: the phase that it is about, unless a selector names another.
    """

    kind: str
    labels: tuple[str, ...]
    meaning: str
    phase: str = LOAD


_ALL_LABELS: Final = ("phase", "scenario", "method", "name")
_STREAM_LABELS: Final = ("scenario", "method", "name")
_HOST_LABELS: Final = ("scenario", "name")
"""The labels of connections, whose name is host and port."""
VALUES: Final = {"phase": (LOAD, SETUP), "result": ("success", "failure")}
"""The labels with a fixed set of values."""
DISTRIBUTIONS: Final = {
    "response_time": Metric("time", ("result", *_ALL_LABELS), "from the intended start to the end of the response"),
    "service_time": Metric("time", _ALL_LABELS, "from sending to the end of the response"),
    "schedule_lag": Metric("time", ("scenario",), "from the intended start to sending, by iteration"),
    "transaction_time": Metric(
        "time", ("scenario", "name"), "from the intended start of a transaction to its end", labels.TRANSACTION
    ),
    "iteration_time": Metric(
        "time", ("scenario",), "from the intended start of an iteration to the end of its task", labels.ITERATION
    ),
    "first_byte": Metric(
        "time", _STREAM_LABELS, "of streamed responses: from the intended start to the head", labels.FIRST_BYTE
    ),
    "first_event": Metric(
        "time", _STREAM_LABELS, "of streamed responses: from the intended start to the first event", labels.FIRST_EVENT
    ),
    "event_gap": Metric("time", _STREAM_LABELS, "of streamed responses: between two events", labels.EVENT_GAP),
    "dns_time": Metric("time", _HOST_LABELS, "of new connections: the lookup of the host's name", labels.DNS),
    "connect_time": Metric("time", _HOST_LABELS, "of new connections: TCP", labels.CONNECT),
    "tls_time": Metric("time", _HOST_LABELS, "of new connections: the TLS handshake", labels.TLS),
    "waiting_time": Metric(
        "time", _HOST_LABELS, "of responses in several parts: from sending to the first byte", labels.WAITING
    ),
    "receiving_time": Metric(
        "time", _HOST_LABELS, "of responses in several parts: from the first byte to the last", labels.RECEIVING
    ),
}
"""The metrics that need an aggregate."""
FIGURES: Final = {
    "error_ratio": Metric("ratio", _ALL_LABELS, "failed requests, of all requests"),
    "dropped_ratio": Metric("ratio", ("scenario",), "iterations that never started, of all intended ones"),
    "requests_per_s": Metric("rate", _ALL_LABELS, "requests per second, failed ones included"),
    "requests": Metric("count", _ALL_LABELS, "requests, failed ones included"),
    "response_bytes": Metric("size", _ALL_LABELS, "bytes of response bodies"),
    "request_bytes": Metric("size", _ALL_LABELS, "bytes of requests as the built-in clients sent them"),
    "iterations": Metric("count", ("scenario",), "completed iterations", labels.ITERATION),
    "connections": Metric(
        "count", _HOST_LABELS, "connections that were opened over TCP, in the set-up too", labels.CONNECT
    ),
    "connections_open": Metric(
        "count", (), "the peak number of open connections of the built-in clients, sampled once a second"
    ),
    "transaction_error_ratio": Metric("ratio", ("scenario", "name"), "failed transactions, of all", labels.TRANSACTION),
    "check_ratio": Metric("ratio", ("scenario", "name"), "checks that were met, of all", labels.CHECK),
}
METRICS: Final = {**DISTRIBUTIONS, **FIGURES}
UNITS: Final = {
    "time": {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "ratio": {"%": 1e-2},
    "rate": {"/s": 1.0},
    "count": {"": 1.0},
    "size": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
}
"""By kind: the value of each unit in seconds, as a ratio from 0 to 1, per second, as a plain number, or in bytes."""
RANGES: Final = {
    "time": (0.0, HIGHEST_NS / 1e9),
    "ratio": (0.0, 1.0),
    "rate": (0.0, math.inf),
    "count": (0.0, math.inf),
    "size": (0.0, math.inf),
}
"""By kind: the lowest and the highest measurable value, in the unit of `Threshold.limit`."""

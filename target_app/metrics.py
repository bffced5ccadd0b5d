"""The target's own metrics, in the Prometheus text format at `/metrics`.

Under Gunicorn, each worker writes to memory-mapped files in a shared folder, and any worker that serves a scrape adds
them up. The files are named after the worker's slot (0 … workers - 1), not its process id: a worker that replaces
another in its slot continues its counters. So counters never decrease while the server runs, and the folder never holds
more files than there are slots. `target_app.gunicorn_conf` calls the hooks for this.

Labels are bounded: `route` is a route's template or "unmatched", `method` one of HTTP's or "other", `status` a
class such as "2xx", `kind` one of the problems in `target_app.errors`.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import prometheus_client
import psutil
from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess, values

from target_app import responses
from target_app.network import Network
from target_app.openapi import described

_FOLDER_PREFIX = "target_app-metrics-"
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own; it reads nothing else
_BUCKETS_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
_UNMATCHED = "unmatched"
_PROCESS_EVERY_S = 1.0
"""How often a worker reads its memory and CPU time: /proc costs more than a request's other metrics."""


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        """Create the metrics in their own registry, so that one process can hold several applications."""
        self._registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self._requests = Counter("target_app_requests", "Requests answered.", labels, registry=self._registry)
        self._duration = Histogram(
            "target_app_request_duration_seconds",
            "Time from the request's dispatch to its response, without the server's queue.",
            labels,
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._exceptions = Counter(
            "target_app_exceptions",
            "Exceptions that became an error response, by the kind of problem.",
            ("route", "kind"),
            registry=self._registry,
        )
        self._messages = Counter(
            "target_app_messages",
            "Messages of WebSocket sessions: received from clients and echoed, and pushed to clients.",
            ("kind",),
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "target_app_requests_in_flight",
            "Requests in progress, by worker.",
            registry=self._registry,
            multiprocess_mode="liveall",  # which adds a label `pid`: the worker's slot
        )
        self._resident = Gauge(
            "target_app_resident_memory_bytes",
            "Resident memory of all workers.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._registry.register(Network())
        self._cpu = Counter("target_app_cpu_seconds", "CPU time used by all workers.", registry=self._registry)
        self._children: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}  # labels() costs more
        self._process = psutil.Process()
        self._cpu_counted_s = 0.0
        self._process_due_s = 0.0
        self._process_lock = threading.Lock()

    def install(self, app: Flask) -> None:
        """Measure every request of the application and serve `/metrics`.

        It wraps the WSGI application: Flask's before- and after-request hooks took four times as long.
        """
        app.wsgi_app = self._measured(app.wsgi_app)  # type: ignore[assignment, method-assign]
        app.add_url_rule("/metrics", "metrics", self.exposition)
        for rule in app.url_map.iter_rules():
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                self._requests.labels(rule.rule, method, "2xx")  # at 0 before the first request
            self._exceptions.labels(rule.rule, "unhandled")
        self._measure_process()

    def count_exception(self, kind: str) -> None:
        """Count an exception that became an error response."""
        self._exceptions.labels(_route(), kind).inc()

    def count_message(self, kind: str) -> None:
        """Count a received or pushed message of a WebSocket session."""
        self._messages.labels(kind).inc()

    @described(answer={"type": "string"}, media_type="text/plain")
    def exposition(self) -> Response:
        """Serve the metrics of all workers."""
        self._measure_process()
        registry = self._registry
        if values.ValueClass is not values.MutexValue:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
            registry.register(Network())
        return responses.raw(
            prometheus_client.generate_latest(registry), content_type=prometheus_client.CONTENT_TYPE_LATEST
        )

    def _measured(self, serve: WSGIApplication) -> WSGIApplication:
        def measured(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            def start(status: str, *arguments: Any) -> Callable[[bytes], object]:
                self._count(environ, status, started_s)
                return start_response(status, *arguments)

            started_s = time.perf_counter()
            self._in_flight.inc()
            try:
                return serve(environ, start)
            finally:
                self._in_flight.dec()

        return measured

    def _count(self, environ: WSGIEnvironment, status: str, started_s: float) -> None:
        now_s = time.perf_counter()
        method = environ["REQUEST_METHOD"]
        rule = environ["werkzeug.request"].url_rule
        labels = (
            rule.rule if rule else _UNMATCHED,
            method if method in _METHODS else "other",
            _CLASSES[int(status[0])],
        )
        children = self._children.get(labels)
        if children is None:
            children = self._requests.labels(*labels), self._duration.labels(*labels)
            self._children[labels] = children
        children[0].inc()
        children[1].observe(now_s - started_s)
        if now_s >= self._process_due_s:
            self._measure_process()

    def _measure_process(self) -> None:
        with self._process_lock:  # two threads must not count the same CPU time
            self._process_due_s = time.perf_counter() + _PROCESS_EVERY_S
            self._resident.set(self._process.memory_info().rss)
            used_s = time.process_time()
            self._cpu.inc(used_s - self._cpu_counted_s)
            self._cpu_counted_s = used_s


def _route() -> str:
    return request.url_rule.rule if request.url_rule else _UNMATCHED


# For Gunicorn's hooks.


def open_folder(parent: Path) -> Path:
    """Create the metrics folder of this server and its workers, and remove those that killed servers left behind.

    Args:
        parent: the folder in which to create it. Only folders of this user are removed.
    """
    for left in parent.glob(f"{_FOLDER_PREFIX}*"):
        pid = left.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        mine = left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.getuid()
        if mine and pid.isdecimal() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=parent))
    os.environ[_FOLDER_VARIABLE] = str(folder)
    return folder


def close_folder(folder: Path) -> None:
    """Remove the folder of this server's metrics."""
    shutil.rmtree(folder, ignore_errors=True)


def take_slot(slot: int) -> None:
    """Make this process write the files of a slot; call it in a new worker before any metric is created."""
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: slot)


def leave_slot(slot: int) -> None:
    """Remove the gauges of a slot whose worker has exited; its counters remain."""
    multiprocess.mark_process_dead(slot)

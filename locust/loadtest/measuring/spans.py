"""Spans: traced requests, exported over OTLP with OpenTelemetry's SDK, which is an optional dependency.

A span is the client's part of a trace. It has the ids of the request's traceparent, so the service's spans of the same
request are its children. The standard OTEL_* variables configure the export; without an endpoint in them nothing is
exported. Spans are sent in the background, in batches, and dropped if the endpoint does not accept them; no figure of
the run depends on them.

See https://opentelemetry.io/docs/specs/otel/protocol/exporter/ for the variables.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import gevent

from loadtest.exceptions import UsageError
from loadtest.measuring import steady_clock
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtest.measuring.labels import SeriesKey

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The variables that name the endpoint, in order of precedence."""
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""The variables that name the protocol, of which only one is supported."""
HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
"""The variables that may hold a secret."""
VARIABLES: Final = (
    *ENDPOINTS, *PROTOCOLS, *HEADERS, "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED",
)  # fmt: skip
"""The variables that are passed on to master and workers wherever they run."""
PROTOCOL: Final = "http/protobuf"
MISSING: Final = (
    "the environment names an endpoint for spans in OTEL_EXPORTER_OTLP_ENDPOINT, and the packages that export them are "
    "not installed. Next: .venv/bin/pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http, build the "
    "image with OTLP=1, or set OTEL_TRACES_EXPORTER=none."
)
LAST_S: Final = 3.0
"""Seconds allowed for exporting the last spans when the process ends."""
_PACKAGES: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
_LOGGERS: Final = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")
_UNNAMED: Final = "unknown_service"

_log = logging.getLogger(__name__)


def endpoint(environ: Mapping[str, str] = os.environ) -> str:
    """The endpoint from the environment; empty if none is set or the export is disabled."""
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() not in {"", "otlp"}:
        return ""
    return next((environ[name] for name in ENDPOINTS if environ.get(name)), "")


def obstacle(environ: Mapping[str, str] = os.environ) -> str:
    """Why no spans can be exported to the endpoint from the environment; empty if they can."""
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        return (
            f"the environment names the protocol {protocol!r} for spans. Allowed: {PROTOCOL}. Next: set "
            f"OTEL_EXPORTER_OTLP_PROTOCOL={PROTOCOL}, and the endpoint to the collector's port for it, usually 4318."
        )
    try:
        return "" if all(map(find_spec, _PACKAGES)) else MISSING
    except ModuleNotFoundError:
        return MISSING


def check(ratio: float) -> None:
    """Check that spans can be exported if requests are traced and the environment names an endpoint.

    Args:
        ratio: the share of requests that are traced, 0 to 1.

    Raises:
        UsageError: when the packages are missing or the protocol is not supported.
    """
    if ratio and endpoint() and (why := obstacle()):
        raise UsageError(why)


class SpanExport:
    """Exports spans to the endpoint from the environment.

    Raises:
        ImportError: when the packages are missing.
        ValueError: when the SDK rejects the value of a variable.
    """

    def __init__(self) -> None:
        from opentelemetry import trace as api  # noqa: PLC0415 - an optional dependency
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk import trace as sdk  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult  # noqa: PLC0415

        found = Resource.create()
        if str(found.attributes.get("service.name", _UNNAMED)).startswith(_UNNAMED):
            found = found.merge(Resource({"service.name": "loadtest"}))
        for name in _LOGGERS:  # `_Exporter` reports failures, once
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._api, self._sdk, self._resource = api, sdk, found
        self._exporter = _Exporter(OTLPSpanExporter(), SpanExportResult)
        self._processor: Any = BatchSpanProcessor(self._exporter)  # type: ignore[arg-type]

    def add(  # noqa: PLR0917 - a span has that many parts
        self, key: SeriesKey, trace_id: str, span_id: str, sent_s: float, end_s: float, error_class: str = ""
    ) -> None:
        """Export the span of a request.

        Args:
            key: the labels of the request.
            trace_id: 32 hexadecimal digits.
            span_id: 16 hexadecimal digits.
            sent_s: when the request was sent, in seconds of ``time.perf_counter``.
            end_s: when it ended, on the same clock.
            error_class: why it failed; empty for a success.
        """
        api, flags = self._api, self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        attributes = {"http.request.method": key.method, "loadtest.scenario": key.scenario}
        status = api.Status()
        if error_class:
            attributes["error.type"] = error_class
            status = api.Status(api.StatusCode.ERROR, error_class)
        begun_ns, ended_ns = (round(steady_clock.at(moment_s) * 1e9) for moment_s in (sent_s, end_s))
        span = self._sdk.ReadableSpan(
            f"{key.method} {key.name}",
            api.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags),
            resource=self._resource,
            attributes=attributes,
            kind=api.SpanKind.CLIENT,
            status=status,
            start_time=begun_ns,
            end_time=ended_ns,
        )
        self._processor.on_end(span)

    def close(self) -> None:
        """Export the last spans, for at most `LAST_S`."""
        last = gevent.spawn(self._processor.shutdown)
        last.join(timeout=LAST_S)
        if not last.ready():
            self._exporter.warn("it did not take the last ones in time")
            last.kill(block=False)


class _Exporter:
    """Exports batches, and logs once when a batch is not accepted.

    Args:
        exporter: the SDK's exporter.
        results: the SDK's enumeration of results.
    """

    def __init__(self, exporter: Any, results: Any) -> None:
        self._exporter = exporter
        self._results = results
        self._has_warned = False

    def export(self, spans: Sequence[Any]) -> Any:
        """Export a batch."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            self.warn(str(error))
            return self._results.FAILURE
        if result is not self._results.SUCCESS:
            self.warn("it does not answer, or refuses them")
        return result

    def warn(self, why: str) -> None:
        """Log that spans are lost, unless that was already logged."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "spans are not exported to %s: %s. The run goes on, and its figures do not change. Next: start the "
                "collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT.",
                without_credentials(endpoint()),
                without_credentials(why),
            )

    def shutdown(self) -> None:
        """Stop exporting."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: the processor has the queue."""
        return bool(self._exporter.force_flush(timeout_millis))

"""Spans are sent to a real OTLP/HTTP receiver with the ids and times of the requests; a dead one affects no figure."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gevent.pywsgi import WSGIServer
from locust.env import Environment
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from loadtest.clients.http import HttpUser
from loadtest.exceptions import UsageError
from loadtest.measuring import spans
from loadtest.measuring.recorder import Recorder
from loadtest.swarm.session import ControllingSwarm, start
from tests.http_harness import Peer, ScriptedServer, close, ok

OWN = f"00-{'ab' * 16}-{'cd' * 8}-01"
SENT = re.compile(rb"\r\n(?i:traceparent): 00-([0-9a-f]{32})-([0-9a-f]{16})-01(?=\r\n|$)")
CLIENT, FAILED = 3, 2
"""Of OTLP: the kind of a client's span, and the status of one that failed."""


class Receiver:
    """An OTLP/HTTP receiver that keeps its batches."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Respond to one batch."""
        assert (environ["PATH_INFO"], environ["CONTENT_TYPE"]) == ("/v1/traces", "application/x-protobuf")
        batch = ExportTraceServiceRequest.FromString(environ["wsgi.input"].read())
        for part in batch.resource_spans:
            self.services |= {one.value.string_value for one in part.resource.attributes if one.key == "service.name"}
            self.spans += [span for scope in part.scope_spans for span in scope.spans]
        start_response("200 OK", [("Content-Type", "application/x-protobuf")])
        return [b""]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver set in the environment."""
    made = Receiver()
    server = WSGIServer(("127.0.0.1", 0), made, log=None)
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield made
    server.stop()


@contextmanager
def traced_user(url: str) -> Iterator[Any]:
    """A user with every request traced."""
    user_class = type("TestUser", (HttpUser,), {"host": url})
    environment = Environment(user_classes=[user_class])
    sampler = Recorder.of(environment).sampler
    sampler.open()
    sampler.begin(1.0)
    user = user_class(environment)
    try:
        yield user
    finally:
        close(user)
        sampler.close()


def test_a_traced_request_is_exported_with_its_ids_and_times(receiver: Receiver) -> None:
    """Its span is the parent sent to the service; a request with the scenario's own header is not exported."""
    heads = []

    def serve(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            heads.append(head)
            peer.send(ok(status="500 Internal Server Error") if b"/bad" in head else ok())

    began_ns = time.time_ns()
    with ScriptedServer(serve) as server, traced_user(server.url) as user:
        user.client.get("/good", name="good")
        user.client.get("/bad", name="bad")
        user.client.get("/own", headers={"traceparent": OWN})
    told = [tuple(one.decode() for one in ids) for ids in map(SENT.search, heads) for ids in [ids.groups()]]
    assert [(span.trace_id.hex(), span.span_id.hex()) for span in receiver.spans] == told[:2]
    assert [(span.name, span.kind, span.status.code) for span in receiver.spans] == [
        ("GET good", CLIENT, 0), ("GET bad", CLIENT, FAILED),
    ]  # fmt: skip
    for span in receiver.spans:
        assert began_ns - 1e6 < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns() + 1e6
    said = {one.key: one.value.string_value for one in receiver.spans[1].attributes}
    assert said == {"http.request.method": "GET", "loadtest.scenario": "TestUser", "error.type": "status_5xx"}
    assert receiver.services == {"loadtest"}


def test_a_dead_collector_changes_no_figure_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing listens: requests count as usual, the end waits no longer than its limit, and one line reports it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setattr(spans, "LAST_S", 0.5)
    with (
        caplog.at_level(logging.DEBUG),
        ScriptedServer(lambda peer: [peer.send(ok()) for _ in range(3) if peer.read_request()]) as server,
        traced_user(server.url) as user,
    ):
        for _ in range(3):
            user.client.get("/", name="name")
            Recorder.of(user.environment).sampler.spans._processor.force_flush()
        taken = Recorder.of(user.environment).take()
    (row,) = [row for row, key in enumerate(taken.series) if key.name == "name"]
    assert (taken.requests[row], taken.failures[row]) == (3, 0)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith("spans are not exported to http://127.0.0.1:9/v1/traces: ")
    assert "Next: start the collector" in said


def test_a_swarm_exports_where_the_environment_says_so(receiver: Receiver) -> None:
    """The process with the users opens the export before its first run, and closes it when it quits."""
    environment = Environment(user_classes=[HttpUser])
    environment.create_local_runner()
    start(environment)
    sampler = Recorder.of(environment).sampler
    assert sampler.spans is not None
    ControllingSwarm.of(environment).trace_ratio = 0.5
    environment.events.test_start.fire(environment=environment)
    assert sampler.ratio == 0.5
    environment.events.quitting.fire(environment=environment, reverse=True)
    assert (sampler.spans, receiver.spans) == (None, [])
    environment.runner.quit()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, "http://a:4318"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/v1/traces"},
            "http://b/v1/traces",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_EXPORTER": "otlp"}, ""),
    ],
)
def test_the_standard_variables_decide(variables: dict[str, str], expected: str) -> None:
    """An endpoint for traces takes precedence; no endpoint, another exporter or a disabled SDK mean no export."""
    assert spans.endpoint(variables) == expected


def test_without_the_packages_a_run_that_wants_spans_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The start of a run is refused; a worker elsewhere reports it, and sends its requests with their headers."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    spans.check(1.0)
    monkeypatch.setattr(spans, "_PACKAGES", ("opentelemetry.no_such_part.of_it",))
    spans.check(0.0)
    with pytest.raises(UsageError, match=r"are not installed\. Next: \.venv/bin/pip install opentelemetry-sdk"):
        spans.check(0.5)
    sampler = Recorder().sampler
    sampler.open()
    sampler.begin(1.0)
    assert (sampler.spans, [record.getMessage() for record in caplog.records]) == (None, [spans.MISSING])
    headers, is_traced = sampler.apply(None)
    assert (list(headers or {}), is_traced) == (["traceparent"], True)


@pytest.mark.parametrize("name", spans.PROTOCOLS)
def test_a_protocol_that_is_not_spoken_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The exporter supports one protocol; a gRPC port would receive nothing usable for the whole run."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv(name, "http/protobuf")
    spans.check(1.0)
    monkeypatch.setenv(name, "grpc")
    with pytest.raises(UsageError, match=r"names the protocol 'grpc' for spans\. Allowed: http/protobuf\. Next: "):
        spans.check(1.0)
    sampler = Recorder().sampler
    sampler.open()
    sampler.begin(1.0)
    assert (sampler.spans, [record.getMessage() for record in caplog.records]) == (None, [spans.obstacle()])


def test_a_password_in_the_endpoint_is_in_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The message about an unreachable collector names it without its credentials."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:hunter2@127.0.0.1:9/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setattr(spans, "LAST_S", 0.5)
    with (
        ScriptedServer(lambda peer: peer.send(ok()) if peer.read_request() else None) as server,
        traced_user(server.url) as user,
    ):
        user.client.get("/", name="name")
        Recorder.of(user.environment).sampler.spans._processor.force_flush()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [("127.0.0.1:9/v1/traces" in line, "hunter2" in line) for line in said] == [(True, False)]

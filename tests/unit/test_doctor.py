"""Doctor: what is fine, and what is not, with what to do."""

import os
import resource
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from loadtest.config import Config
from loadtest.doctor import Finding, examine

FREE = {"web_port": 0, "exporter_port": 0, "target_port": 0}


def findings(**options: object) -> dict[str, Finding]:
    """Return the findings by name, for a Config of these options."""
    config = Config.load({**FREE, **options}, environ={}, file=Path("/nonexistent"))
    return {finding.name: finding for finding in examine(config)}


def test_a_machine_that_runs_the_tests_is_healthy(redis_url: str, target_url: str) -> None:
    """With its servers there, every check is fine."""
    found = findings(redis_url=redis_url, host=target_url)
    assert [] == [finding for finding in found.values() if not finding.healthy]
    assert {"host", "redis", "ports", "cores", "descriptors", "clock", "results"} == set(found)


def test_a_port_in_use_is_found() -> None:
    """The port, its setting and the next step are named."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = findings(exporter_port=server.getsockname()[1])["ports"]
    assert not found.healthy
    assert "EXPORTER_PORT=" in found.sentence
    assert "Next: " in found.sentence


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"host": "http://127.0.0.1:1"}, "host", "does not accept connections"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, "redis", "cannot be reached"),
        ({"workers": 512}, "cores", f"on {os.cpu_count()} cores"),
        ({"runs_dir": "/proc/version/runs"}, "results", "RUNS_DIR=/proc/version/runs"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, object], name: str, words: str) -> None:
    """Each bad thing is found by its check, with a next step; the other checks go on."""
    found = findings(**options)
    assert not found[name].healthy
    assert words in found[name].sentence
    assert "Next: " in found[name].sentence
    assert found["clock"].healthy


def test_too_few_descriptors_are_found() -> None:
    """A pool of users that cannot have a connection each is said before the run."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = findings(users=1_000_000, spawn_rate=100_000, workers=1)["descriptors"]
    assert (hard == resource.RLIM_INFINITY or hard > 1_000_200) == found.healthy


@pytest.mark.parametrize(("resolution_s", "monotonic"), [(0.015, True), (1e-9, False)])
def test_a_clock_that_is_too_coarse_is_found(
    monkeypatch: pytest.MonkeyPatch, resolution_s: float, *, monotonic: bool
) -> None:
    """A clock that ticks coarsely, or may go back, is said before it shows in histograms."""
    clock = SimpleNamespace(monotonic=monotonic, resolution=resolution_s)
    monkeypatch.setattr("loadtest.doctor.time.get_clock_info", lambda _name: clock)
    found = findings()["clock"]
    assert not found.healthy
    assert f"{resolution_s:g} s" in found.sentence

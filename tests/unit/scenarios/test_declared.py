"""The declarations of a scenario, read in a separate process."""

from pathlib import Path

import pytest

from loadtest.scenarios import declared
from loadtest.settings.config import Config


def test_declared_requests_are_those_of_the_scenario() -> None:
    """A separate process reads them, so that this one keeps the standard library's sockets."""
    assert set(declared(Config(scenario="health")).requests) == {("GET", "health/live"), ("GET", "health/ready")}


def test_what_is_declared_depends_on_the_settings_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A custom workload declares its operations."""
    monkeypatch.setattr("loadtest.scenarios._declared._declared", {})  # the cached declarations
    file = tmp_path / "own.toml"
    file.write_text("[keys]\nsize = 9\n[values]\nsize_bytes = 200\n[operations]\nhget = 1\n")
    found = declared(Config(scenario="key_value", workload_file=file))
    assert (found.requests, found.loads_only_redis) == ([("HGET", "key_value/hget")], True)

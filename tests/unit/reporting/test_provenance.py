"""Provenance: the environment of a run, without secrets."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from loadtest.profiles.profile import read_profiles
from loadtest.reporting import provenance
from tests.servers import imitation


def test_secrets_are_masked() -> None:
    """Passwords in addresses and values with secret names are hidden; the rest stays."""
    settings = {
        "redis_url": "redis://user:hunter2@127.0.0.1:6379/0",
        "mongo_url": "mongodb://user:hunter2@db/x",
        "api_token": "hunter2",
        "web_password": "",
        "web_password_file": "secrets/web_password",
        "host": "https://staging.example.com/a@b",
        "users": 10,
    }
    expected = {
        "redis_url": "redis://***@127.0.0.1:6379/0",
        "mongo_url": "mongodb://***@db/x",
        "api_token": "***",
        "web_password": "",
        "web_password_file": "secrets/web_password",
        "host": "https://staging.example.com/a@b",
        "users": 10,
    }
    assert provenance.masked(settings) == expected


def test_versions_and_host_are_known_and_name_no_machine() -> None:
    """Versions of Python, this product and its parts; processor, cores and memory; no host name."""
    made = provenance.of("documents", None, "redis://127.0.0.1:1/0")
    assert {"loadtest", "python", "locust", "numpy", "gevent", "redis"} <= set(made["versions"])
    assert made["host"]["cores"] == os.cpu_count()
    assert made["host"]["memory_bytes"] > 2**28
    assert socket.gethostname() not in str(made["host"])


def test_the_plan_says_the_level_over_time() -> None:
    """A ramp is drawn by its levels."""
    profile = read_profiles()["ramping-arrival-rate"]
    levels = provenance.plan(profile)["levels"]
    assert (len(levels), levels[0]) == (240, [0.0, 20.0])
    assert all(abs(level - profile.curve.level_at(t_s)) < 1e-2 for t_s, level in levels)


def test_a_scenario_in_a_repository_has_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has the file, the commit, and whether something was changed since; None outside of a repository."""
    package = tmp_path / "own_scenarios"
    package.mkdir()
    (package / "__init__.py").touch()
    room = package / "shop.py"
    room.write_text("one")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(provenance, "SCENARIOS", "own_scenarios")
    assert provenance.source("shop") is None
    git = ["git", "-C", str(package), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.source("shop") == {"file": "shop.py", "commit": commit, "modified": False}
    room.write_text("two")
    assert provenance.source("shop") == {"file": "shop.py", "commit": commit, "modified": True}
    assert provenance.source(str(room)) == provenance.source("shop")
    assert provenance.source("nowhere") is None
    assert provenance.source("nowhere.py") is None


def test_an_imitation_of_redis_is_told_from_redis(redis_url: str, tmp_path: Path) -> None:
    """Redis supports INFO; fakeredis, the local stack's fallback, does not. A missing server is not an imitation."""
    with imitation(tmp_path) as url:
        urls = (url, redis_url, "redis://127.0.0.1:1/0")
        assert [provenance.is_imitation(url) for url in urls] == [True, False, False]

"""The target's settings: limits, and one clear message for all errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from target_app.settings import Settings, SettingsError


def test_defaults_listen_on_this_machine_only() -> None:
    """Without any variable the target binds to the loopback address."""
    assert Settings.from_environment({}).bind == "127.0.0.1:5000"


def test_settings_come_from_the_environment() -> None:
    """Redis has its usual variable, all others have the target's prefix; empty counts as unset."""
    environment = {"REDIS_URL": "redis://cache:7000/2", "TARGET_APP_THREADS": "3", "TARGET_APP_WORKERS": ""}
    settings = Settings.from_environment(environment)
    assert (settings.redis_url, settings.threads, settings.workers) == ("redis://cache:7000/2", 3, 2)


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().threads = 1


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("REDIS_URL", "http://x", "redis://"),
        ("REDIS_URL", "redis://x?cluster=true", "the URL of one server"),
        ("REDIS_URL", "redis://x?sentinel=shop", "the URL of one server"),
        ("TARGET_APP_BIND", "5000", "host:port"),
        ("TARGET_APP_BIND", "127.0.0.1:70000", "0 to 65535"),
        ("TARGET_APP_WORKERS", "0", "greater than or equal to 1"),
        ("TARGET_APP_WORKERS", "many", "valid integer"),
        ("TARGET_APP_THREADS", "129", "less than or equal to 128"),
        ("TARGET_APP_REDIS_TIMEOUT_S", "nan", "finite number"),
        ("TARGET_APP_MAX_BODY_BYTES", "10", "greater than or equal to 1024"),
        ("TARGET_APP_LOG_LEVEL", "loud", "'debug', 'info'"),
        ("TARGET_APP_TMP_DIR", "/nowhere", "existing folder"),
        ("TARGET_APP_SECRET_KEY_FILE", "/nowhere", "readable file"),
        ("TARGET_APP_SECRET_KEY_FILE", "/dev/null", "at least 16 characters"),
        ("TARGET_APP_ACCESS_TOKEN_LIFETIME_S", "0", "greater than or equal to 1"),
        ("TARGET_APP_PASSWORD_COST", "9", "greater than or equal to 10"),
    ],
)
def test_a_wrong_setting_names_variable_value_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    """The message has the variable, its value and the limit."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({variable: value})
    message = str(raised.value)
    assert [part for part in (variable, repr(value), allowed) if part not in message] == []


def test_a_key_comes_from_a_file_or_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    """The file wins; neither a message nor the repr of the settings contains a key."""
    (tmp_path / "key").write_text("the key of a file\n", encoding="utf-8")
    environment = {"TARGET_APP_SECRET_KEY": "the key of the environment"}
    settings = Settings.from_environment(environment)
    both = Settings.from_environment(environment | {"TARGET_APP_SECRET_KEY_FILE": str(tmp_path / "key")})
    keys = [each.signing_key() for each in (Settings(), settings, both)]
    assert keys == [None, b"the key of the environment", b"the key of a file"]
    assert "the environment" not in repr(settings)
    with pytest.raises(SettingsError, match="TARGET_APP_SECRET_KEY is wrong but must have at least 16") as raised:
        Settings.from_environment({"TARGET_APP_SECRET_KEY": "too short"})
    assert "too short" not in str(raised.value)


def test_a_misspelled_setting_is_refused() -> None:
    """A variable with the target's prefix that is not a setting is refused, with the nearest name."""
    with pytest.raises(SettingsError, match=r"TARGET_APP_WORKER is not a setting, did you mean TARGET_APP_WORKERS\?"):
        Settings.from_environment({"TARGET_APP_WORKER": "4"})


def test_a_server_with_wrong_settings_reports_all_of_them_and_exits(tmp_path: Path) -> None:
    """Gunicorn does not start; every mistake is reported at once, without a traceback."""
    environment = os.environ | {"TARGET_APP_WORKERS": "-1", "TARGET_APP_BIND": "nonsense"}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"]
    ended = subprocess.run(
        command, check=False, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "TARGET_APP_WORKERS is '-1'" in ended.stderr
    assert "TARGET_APP_BIND is 'nonsense'" in ended.stderr


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    """docs/reference/target_app.md lists all settings with their defaults."""
    page = (Path(__file__).parents[2] / "docs/reference/target_app.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(REDIS_URL|TARGET_APP_[A-Z_]+)` \| (.*?) \|", page, re.MULTILINE))
    defaults = Settings()
    expected = {
        "REDIS_URL" if field == "redis_url" else f"TARGET_APP_{field.upper()}": f"`{getattr(defaults, field)}`"
        for field in Settings.model_fields
    }
    own_words = {
        "TARGET_APP_TMP_DIR": "the system's",
        "TARGET_APP_SECRET_KEY": "generated at each start",
        "TARGET_APP_SECRET_KEY_FILE": "",
    }
    assert documented == expected | own_words


def test_variables_that_kubernetes_makes_are_no_settings() -> None:
    """A Service ``target-app`` in the namespace gives every pod eight variables with the target's prefix."""
    links = {
        "TARGET_APP_SERVICE_HOST": "10.96.0.7",
        "TARGET_APP_SERVICE_PORT": "80",
        "TARGET_APP_SERVICE_PORT_HTTP": "80",
        "TARGET_APP_PORT": "tcp://10.96.0.7:80",
        "TARGET_APP_PORT_80_TCP": "tcp://10.96.0.7:80",
        "TARGET_APP_PORT_80_TCP_PROTO": "tcp",
        "TARGET_APP_PORT_80_TCP_PORT": "80",
        "TARGET_APP_PORT_80_TCP_ADDR": "10.96.0.7",
    }
    assert Settings.from_environment({**links, "TARGET_APP_THREADS": "3"}).threads == 3
    with pytest.raises(SettingsError, match="TARGET_APP_PORT is not a setting"):
        Settings.from_environment({"TARGET_APP_PORT": "80"})

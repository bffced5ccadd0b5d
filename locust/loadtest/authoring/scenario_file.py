"""Scenario files: how they look, and how they are written: whole, and never over another."""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_TEMPLATE = '''\
"""{name}: what its users do.

loadtest run --scenario {name}.py --host https://staging.example.com
Without a host the sample target is loaded.
"""

from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario

NAME = "{name}"


class Visitor(HttpUser):
    """Somebody who looks around."""

    scenario = NAME
    wait_time = between(0.5, 1.5)

    @task(3)
    def home(self):
        """Open the home page."""
        self.client.get("/", name=f"{{NAME}}/home")

    @task
    def live(self):
        """Ask whether the service lives."""
        self.client.get("/healthz/live", name=f"{{NAME}}/live")


# Every request name, so that it is known before load begins.
scenario = Scenario(name=NAME, user_classes=(Visitor,), requests=(("GET", f"{{NAME}}/home"), ("GET", f"{{NAME}}/live")))
'''


def checked_name(name: str) -> str:
    """Return a scenario's name.

    Raises:
        UsageError: it could not be one.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"NAME={name} cannot name a scenario. Allowed: up to 60 small letters, digits, _ and -, a letter first. "
            "Next: choose another."
        )
    return name


def name_from(title: str) -> str:
    """Return a scenario's name that resembles a title."""
    return re.sub(r"^[^a-z]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", title.lower())[:60]) or "my-scenario"


def draft(name: str) -> str:
    """Return a scenario that runs at once, to go on from."""
    return _TEMPLATE.format(name=name)


def write(name: str, text: str, folder: Path) -> Path:
    """Write a scenario's file; it is there whole or not at all.

    Raises:
        UsageError: there is a file of its name, or the folder cannot be written to.
    """
    path = folder / f"{name}.py"
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=f".{name}-") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.link(file.name, path)
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists, and is left as it is. Allowed: a name that is free. "
            "Next: choose another, or move the file."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}). Allowed: a folder that can be written. "
            "Next: change to one, and run this again."
        ) from error
    return path

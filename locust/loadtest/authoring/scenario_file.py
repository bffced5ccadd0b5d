"""ScenarioFile: write the draft of a scenario, as a whole and never over an existing file."""

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
Without a host the load goes to the sample target.
"""

from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario

NAME = "{name}"


class Visitor(HttpUser):
    """A visitor who looks around."""

    scenario = NAME
    wait_time = between(0.5, 1.5)

    @task(3)
    def home(self):
        """Open the home page."""
        self.client.get("/", name=f"{{NAME}}/home")

    @task
    def live(self):
        """Check whether the service is alive."""
        self.client.get("/healthz/live", name=f"{{NAME}}/live")


# All request names, so that they are known before load begins.
scenario = Scenario(name=NAME, user_classes=(Visitor,), requests=(("GET", f"{{NAME}}/home"), ("GET", f"{{NAME}}/live")))
'''


def checked_name(name: str) -> str:
    """Return the name if it is valid.

    Raises:
        UsageError: when it is not valid as the name of a scenario.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"NAME={name} cannot name a scenario. Allowed: up to 60 lowercase letters, digits, _ and -, first a "
            "letter. Next: choose another."
        )
    return name


def name_from(title: str) -> str:
    """Return a name for a scenario, derived from a title."""
    return re.sub(r"^[^a-z]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", title.lower())[:60]) or "my-scenario"


def draft(name: str) -> str:
    """Return a minimal scenario that runs as it is."""
    return _TEMPLATE.format(name=name)


def write(name: str, text: str, folder: Path) -> Path:
    """Write the file of a scenario as a whole, or not at all.

    Raises:
        UsageError: when the file exists, or the folder is not writable.
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
            f"{path} already exists and was not changed. Allowed: an unused name. "
            "Next: choose another name, or move the file."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}). Allowed: a writable folder. "
            "Next: change to one and run the command again."
        ) from error
    return path

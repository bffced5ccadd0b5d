"""The mark of a run: part of the names of everything its users create, so that its master can remove exactly that.

Tested in tests/unit/scenarios/test_removal.py.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from loadtest.session import Session
from loadtest.swarm.session import Swarm

if TYPE_CHECKING:
    from locust.env import Environment


def mark_of(run_id: str) -> str:
    """Return twelve hexadecimal digits that differ for each run."""
    return hashlib.blake2b(run_id.encode(), digest_size=6).hexdigest()


def present_mark(environment: Environment) -> str:
    """Return the mark of the run that an Environment's users belong to; call it when a user starts."""
    swarm = Session.of(environment).find(Swarm)
    return mark_of(swarm.options.run if swarm else "")

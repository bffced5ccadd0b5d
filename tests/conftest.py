"""Fixtures of all tests."""

import gevent.monkey

gevent.monkey.patch_all()

import signal  # noqa: E402 - nothing may be imported before the patch

import pytest  # noqa: E402 - nothing may be imported before the patch
from hypothesis import settings  # noqa: E402 - nothing may be imported before the patch

from tests import mongo_harness  # noqa: E402 - nothing may be imported before the patch
from tests.servers import redis_url, target_url  # noqa: E402 - nothing may be imported before the patch

# In the background of a shell Ctrl-C is ignored, and so it would be in the processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, not wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the services that were imitated in the tests."""
    if said := mongo_harness.summary():
        terminalreporter.write_line(f"warning: {said}", yellow=True, bold=True)


__all__ = ["redis_url", "target_url"]

"""Locust's logs contain neither control characters for a terminal nor a secret of a URL."""

import io
import logging
import sys
import traceback

import gevent
import pytest
from locust.env import Environment

from loadtest.swarm import session
from loadtest.swarm.log_lines import LogLines, clean, clean_errors


def test_what_is_quoted_commands_nothing_and_is_masked() -> None:
    """This covers messages and tracebacks; line breaks are kept."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.name = "console"
    handler.setFormatter(logging.Formatter("<%(message)s>"))
    logger = logging.Logger("quoting")
    logger.addHandler(handler)
    for _ in range(2):
        clean([logger])
    logger.warning("worker %s\r\x9b2J", "\x1b]0;owned\x07")
    error = ValueError("http://h/?token=hunter2 \x1b[2J\nhttp://u:hunter2@h")
    logger.error("broke", exc_info=error)
    first, *trace = stream.getvalue().splitlines()
    assert first == "<worker ?]0;owned???2J>"
    assert trace == ["<broke>", "ValueError: http://h/?token=*** ?[2J", "http://***@h"]


def test_other_handlers_stay_as_they_are() -> None:
    """For example, those of a person's own locustfile."""
    handler = logging.StreamHandler(io.StringIO())
    logger = logging.Logger("own")
    logger.addHandler(handler)
    clean([logger])
    assert handler.formatter is None


@pytest.mark.parametrize(
    ("logger", "name"), [("", "console"), ("locust", "console"), ("locust.stats_logger", "console_plain")]
)
def test_every_process_of_the_swarm_has_clean_logs(logger: str, name: str) -> None:
    """Locust sets up its logs after loading the locustfile, but before its runner exists."""
    handler = logging.StreamHandler(io.StringIO())
    handler.name = name
    logging.getLogger(logger).addHandler(handler)
    environment = Environment()
    try:
        environment.create_local_runner()
        session.start(environment)
        assert isinstance(handler.formatter, LogLines)
    finally:
        logging.getLogger(logger).removeHandler(handler)
        environment.runner.quit()


def test_what_a_greenlet_raises_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent and Python bypass loggers and write it to standard error, which is a worker's log."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in range(2):
        clean_errors()

    def fail() -> None:
        raise ValueError("http://u:hunter2@h/?token=hunter2 \x1b[2J")

    gevent.spawn(fail).join()
    try:
        fail()
    except ValueError:
        traceback.print_exc()
    written = stream.getvalue()
    assert ("hunter2" in written, "\x1b" in written, written.count("http://***@h/?token=*** ?[2J")) == (False, False, 2)

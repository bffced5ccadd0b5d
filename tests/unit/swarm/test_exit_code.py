"""The exit code of a process if both the product and the locustfile set one."""

import logging

import pytest
from locust import log
from locust.env import Environment

from loadtest.exceptions import ExitCode
from loadtest.swarm.exit_code import ProcessExitCode


@pytest.fixture(autouse=True)
def nothing_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset whatever earlier tests did."""
    monkeypatch.setattr(log, "unhandled_greenlet_exception", False)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(3, 0, 3), (3, None, 3), (0, 1, 1), (5, 7, 7), (0, 0, 0), (None, 1, 1), (None, None, None)],
)
def test_a_locustfiles_zero_excuses_no_verdict(ours: int | None, theirs: int | None, expected: int | None) -> None:
    """Any other code of the locustfile is the process's, even one set when Locust quits."""
    environment = Environment()

    def quitting(environment: Environment, **_: object) -> None:
        environment.process_exit_code = theirs

    environment.events.quitting.add_listener(quitting)
    code = ProcessExitCode.of(environment)
    if ours is not None:
        code.set(ours)
    environment.events.quitting.fire(environment=environment, reverse=True)
    assert environment.process_exit_code == expected


def test_a_code_that_is_set_during_the_test_is_kept() -> None:
    """A listener of test_stop is called before the end of the run, which sets the verdict's code."""
    environment = Environment()
    code = ProcessExitCode.of(environment)
    environment.process_exit_code = 2
    code.set(0)
    environment.events.quitting.fire(environment=environment, reverse=True)
    assert environment.process_exit_code == 2


@pytest.mark.usefixtures("replaced_locust")
def test_a_listener_that_raises_at_the_end_leaves_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """Stock Locust ends with 2; the verdict may already be in the record, so the exit code reports it."""
    environment = Environment()

    def clean_up(**_: object) -> None:
        raise KeyError("token")

    environment.events.quitting.add_listener(clean_up)
    ProcessExitCode.of(environment).set(ExitCode.PASSED)
    environment.events.quitting.fire(environment=environment, reverse=True)
    assert environment.process_exit_code == ExitCode.ERROR
    assert "a listener of Locust's events raised KeyError: 'token' at" in capsys.readouterr().out.replace("\n", " ")


def test_a_part_of_locust_that_broke_leaves_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """Stock Locust ends with 2; files of --csv lack the rest of the run, which the verdict does not know."""
    environment = Environment()
    ProcessExitCode.of(environment).set(ExitCode.PASSED)
    log.greenlet_exception_logger(logging.getLogger("locust.main"))(_Broken())
    environment.events.quitting.fire(environment=environment, reverse=True)
    assert environment.process_exit_code == ExitCode.ERROR
    assert "a part of Locust ended with an error" in capsys.readouterr().out.replace("\n", " ")


class _Broken:
    """A greenlet, as the handler of its error sees it."""

    args = ()
    exc_info = (OSError, OSError(28, "No space left on device"), None)

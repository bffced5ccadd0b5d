"""The supervisor: runs the stack to its end, and lets it report when a signal ends it early.

Tested by tests/native/test_interruption.py, since what it supervises are real processes.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from loadtest.exceptions import ExitCode, Interrupted, StackError
from loadtest.local.stack import LocalStack
from loadtest.progress import Screen
from loadtest.scenarios import declared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.run_folder import RunFolder
    from loadtest.settings.config import Config


def supervise(config: Config, folder: RunFolder, *, as_json: bool = False, more: Sequence[str] = ()) -> int:
    """Run the stack to its end; the first signal lets it report, a second one ends it at once."""
    started = time.monotonic()
    screen = Screen(sys.stderr if as_json else sys.stdout)

    def say(part: str, text: str) -> None:
        print(f"{part:12} {text}", file=screen, flush=True)

    load = "capacity search" if config.slo else f"profile {config.profile}"
    say("run", f"scenario {config.scenario}, {load}, results in {folder.path}/")
    master_screen = sys.stderr if as_json else sys.stdout
    known = declared(config)
    of_classes = None if known.takes_sample_target else known.hosts
    with LocalStack(
        config,
        folder.logs,
        say,
        master_screen,
        of_classes,
        needs_redis=known.needs_redis,
        loads_only_redis=known.loads_only_redis,
        locust_options=more,
    ) as stack:
        say("ready", f"after {time.monotonic() - started:.1f} s")
        try:
            code = stack.wait()
        except Interrupted as interruption:
            code = _drain(stack, folder, say, interruption.signal_number, ui=config.ui)
        for notice in stack.notices:
            say("redis", notice)
        return _show_statistics(folder, code) if as_json else code


def _show_statistics(folder: RunFolder, code: int) -> int:
    """Print Locust's statistics, and return the run's exit code, or 1 instead of 0 where there are none."""
    file = folder.path / "locust.json"
    try:
        click.echo(file.read_text(encoding="utf-8"))
    except OSError as error:
        click.echo(f"error: {file} cannot be read ({error.strerror}), so --json prints nothing.", err=True)
        return code or ExitCode.ERROR
    return code


def _drain(
    stack: LocalStack, folder: RunFolder, say: Callable[[str, str], None], signal_number: int, *, ui: bool
) -> int:
    """Let the master report, and return how the run ended; with the web UI, ending it is normal."""
    try:
        say("stopping", "press Ctrl-C again to end at once, without a report")
        code = stack.drain(signal_number)
    except KeyboardInterrupt:
        stack.kill()
        return ExitCode.INTERRUPTED
    if ui:
        return ExitCode.INTERRUPTED if code == ExitCode.INTERRUPTED else ExitCode.PASSED
    if not folder.holds_run:
        say("stopped", "before the test began; there is no report")
        return ExitCode.INTERRUPTED
    if code not in tuple(ExitCode):
        raise StackError(
            f"the master ended with exit code {code} instead of reporting. Its log: {folder.logs}/master.log. "
            "Next: read it; the record up to then is in the run's folder."
        )
    return code

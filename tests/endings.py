"""The endings that are allowed for a run without faults."""

import re

from loadtest.exceptions import ExitCode

BUSY_MACHINE = frozenset({"other_processes", "run_delay", "late_wake_ups"})
"""The trust checks that a machine fails which does other work during the tests."""


def ended_well(code: int, output: str) -> bool:
    """Whether a run passed; on a busy machine it may say instead that its generator was not fit to measure.

    make itself ends with 2, and says what the run ended with.
    """
    by_make = re.search(r"^make.*: .* Error (\d+)$", output, re.MULTILINE)
    code = int(by_make[1]) if by_make else code
    return code == ExitCode.PASSED or (code == ExitCode.NOT_TRUSTWORTHY and "verdict      not trustworthy" in output)

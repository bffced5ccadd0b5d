"""`python -m loadtest.checking SCENARIO [ARGUMENT…]`: try a scenario, show what happens, and end with 0 or 1.

The settings come from the environment, the arguments are options of Locust and of the scenario's own.
"""

import gevent.monkey

gevent.monkey.patch_all()

import logging  # noqa: E402 - gevent comes before what it patches
import sys  # noqa: E402

from loadtest.checking.trial import Trial  # noqa: E402
from loadtest.exceptions import ExitCode, UsageError, described, exit_on_error  # noqa: E402
from loadtest.settings.config import Config  # noqa: E402

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with exit_on_error():
        try:
            worked = Trial(Config.load({"scenario": sys.argv[1]}), sys.argv[2:]).run()
        except SystemExit as error:  # of a listener, or of an option that only shows something
            raise UsageError(
                f"the check ended early ({described(error)}). Allowed: a scenario and options that do not "
                "exit. Next: leave that out."
            ) from error
        sys.exit(ExitCode.PASSED if worked else ExitCode.ERROR)

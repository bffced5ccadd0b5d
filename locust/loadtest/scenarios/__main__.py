"""`python -m loadtest.scenarios NAME_OR_FILE`: what a scenario declares, as JSON for other processes."""

import gevent.monkey

gevent.monkey.patch_all()

import contextlib  # noqa: E402 - gevent comes before what it patches
import json  # noqa: E402
import sys  # noqa: E402

from loadtest import scenarios  # noqa: E402
from loadtest.exceptions import UsageError  # noqa: E402

if __name__ == "__main__":
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a file may print what it likes while it is imported
            scenario = scenarios.load(sys.argv[1])
        found = (scenario.requests, scenario.hosts, scenario.needs_redis, scenario.takes_sample_target)
        sys.stdout.write(json.dumps(found))
    except UsageError as error:
        sys.stderr.write(str(error))
        sys.exit(error.exit_code)

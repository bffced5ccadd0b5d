"""`python -m loadtest.scenarios NAME_OR_FILE`: the requests that a scenario declares, as JSON for other processes."""

import gevent.monkey

gevent.monkey.patch_all()

import json  # noqa: E402 - gevent comes before what it patches
import sys  # noqa: E402

from loadtest import scenarios  # noqa: E402
from loadtest.exceptions import UsageError  # noqa: E402

if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(scenarios.load(sys.argv[1]).requests))
    except UsageError as error:
        sys.stderr.write(str(error))
        sys.exit(error.exit_code)

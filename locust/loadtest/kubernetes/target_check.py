"""TargetCheck: runs in a worker's pod before the worker, and waits until the target accepts connections.

    python -m loadtest.kubernetes.target_check SECONDS

After that time it ends with exit code 2 and a sentence, which Kubernetes keeps in the pod's status. If no target is
set, the users know theirs, and it ends at once.

Tested in tests/unit/kubernetes/test_target_check.py and tests/kubernetes.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError, exit_on_error
from loadtest.local.stack import check_host_answers
from loadtest.settings.config import Config
from loadtest.settings.hosts import is_http

if TYPE_CHECKING:
    from types import FrameType

_AGAIN_S = 1.0

logger = logging.getLogger(__name__)


def check(config: Config, longest_s: float) -> None:
    """Wait until the target of the settings accepts connections.

    Raises:
        UsageError: when it does not within this time.
    """
    host = config.host or config.sample_target
    if host is None or not is_http(host):
        return None
    deadline = time.monotonic() + longest_s
    while True:
        try:
            return check_host_answers(host)
        except UsageError as error:
            if time.monotonic() > deadline:
                raise
            logger.info("%s", error)
            time.sleep(_AGAIN_S)


def _end(signal_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)  # as the first process of a container it would ignore it
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    with exit_on_error():
        check(Config.load(), float(sys.argv[1]))

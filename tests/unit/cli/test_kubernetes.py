"""The exit codes of `loadtest kubernetes run`; the rest is tested on a cluster, in tests/kubernetes/test_command.py."""

import pytest

from loadtest.cli.kubernetes import ended
from loadtest.exceptions import StackError


def test_a_run_that_could_not_be_compared_does_not_pass() -> None:
    """Its results are only on the cluster; a failed run stays failed without them."""
    baseline = {"context": {"run_id": "yesterday"}}
    with pytest.raises(StackError, match=r"^BASELINE=yesterday was not compared with the run, .* Next: fetch them"):
        ended(0, None, baseline, "yesterday")
    assert ended(3, None, baseline, "yesterday") == 3
    assert ended(0, None, None, None) == 0

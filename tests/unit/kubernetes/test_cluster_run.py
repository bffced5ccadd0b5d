"""The exit code of a run on a cluster; the rest is in tests/kubernetes/test_command.py."""

from typing import Any

import pytest

from loadtest.exceptions import StackError
from loadtest.kubernetes.cluster_run import exit_code

POD: dict[str, Any] = {"metadata": {"name": "loadtest-x"}}


@pytest.mark.parametrize(
    ("code", "message"),
    [(0, "passed: run night\n"), (3, "failed: run night\np99 < 1s: failed with 2s\n"), (5, ""), (2, "HOST=x is wrong")],
)
def test_the_code_is_the_masters(code: int, message: str) -> None:
    """Only a pass needs a verdict: a master that could not start has none."""
    assert exit_code(POD, {"exitCode": code, "reason": "Error", "message": message}) == code


@pytest.mark.parametrize(
    ("message", "said"), [({}, "its run has no verdict"), ({"message": "failed: run night\n"}, "its run did not pass")]
)
def test_a_master_that_ends_as_passed_without_a_pass_is_an_error(message: dict[str, str], said: str) -> None:
    """A scenario may call os._exit(0)."""
    with pytest.raises(StackError, match=f"pod/loadtest-x ended with exit code 0, but {said}"):
        exit_code(POD, {"exitCode": 0, "reason": "Completed", **message})

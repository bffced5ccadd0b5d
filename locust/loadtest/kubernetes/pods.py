"""Pods: waiting for those of a run, until they are as wanted or cannot become so.

Tested in tests/unit/kubernetes/test_pods.py and tests/kubernetes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import StackError
from loadtest.kubernetes import trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.kubernetes.kubectl import Kubectl

    Items = list[dict[str, Any]]

KINDS: Final = "jobs,deployments,replicasets,pods"
VOLUME: Final = "loadtest-runs"
"""The claim for the volume of the results; a person may have made it, without any label."""
POLL_S: Final = 2.0
_SETTLED_S: Final = 10.0
"""How long a problem must last to count: objects are created one by one, and one may need another."""


def await_state(
    kubectl: Kubectl,
    selector: str,
    is_reached: Callable[[Items], bool],
    longest_s: float,
    say: Callable[[str], object] = lambda _text: None,
) -> Items:
    """Wait until the objects of a selector are as wanted, and return them.

    Args:
        kubectl: of the namespace.
        selector: of labels.
        is_reached: whether they are.
        longest_s: how long to wait.
        say: called with what is being waited for when that changes.

    Raises:
        StackError: something prevents it, which the message names; raised at once if it cannot resolve by itself.
    """
    began_s = time.monotonic()
    lasting, since_s, said = None, began_s, None
    while True:
        items = kubectl.items(KINDS, f"--selector={selector}")
        if is_reached(items):
            return items
        claim = kubectl.items("persistentvolumeclaims", f"--field-selector=metadata.name={VOLUME}")
        found = trouble.found([*items, *claim], kubectl.items("events"))
        now_s = time.monotonic()
        if found is None or found.reason != lasting:
            lasting, since_s = found.reason if found else None, now_s
        if found and found.is_final and now_s - since_s >= _SETTLED_S:
            raise StackError(found.sentence)
        if now_s - began_s > longest_s:
            raise StackError(found.sentence if found else _late(items, longest_s))
        what = (found.subject, found.reason) if found else described(items)
        if what != said:
            say(found.sentence if found else described(items))
            said = what
        time.sleep(POLL_S)


def described(items: Items) -> str:
    """Return how many pods there are in each phase, as a sentence's end."""
    phases = [item["status"].get("phase", "Unknown") for item in items if item["kind"] == "Pod"]
    return ", ".join(f"{phases.count(one)} {one.lower()}" for one in sorted(set(phases))) or "none yet"


def _late(items: Items, longest_s: float) -> str:
    return (
        f"the pods are not ready after {longest_s:.0f} s: {described(items)}. Allowed: all of them ready. Next: look "
        "at them with 'kubectl describe pods', or wait longer with --wait."
    )

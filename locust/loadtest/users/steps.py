"""Steps: checks and transactions, which are measured in addition to requests, and separately from them.

    check("has an id", "id" in response.json())

    with self.transaction("checkout"):
        self.client.post("/cart", json=item)
        self.client.post("/order")

A check is counted by its name, as met or not. A transaction is several requests measured as one. Both are counted
anywhere in a user, also in on_start, and the number of their names is limited like that of requests.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from gevent import GreenletExit
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

from loadtest.exceptions import UsageError
from loadtest.measuring.error_classes import UNFINISHED
from loadtest.measuring.labels import CHECK, OTHER, TRANSACTION
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.users import current_user, note_failure, scenario_of

if TYPE_CHECKING:
    from types import TracebackType

_LEFT_EARLY = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)
_STOPPED = (StopUser, StopTest)


def check(name: str, is_met: object) -> bool:
    """Count whether a condition holds, and return it.

    A check that is not met fails the transactions around it, but no request.

    Args:
        name: the condition, such as "has an id"; one of a few, never a value.
        is_met: any value that Python treats as true or false.

    Raises:
        UsageError: it is called outside of a user, for example in a listener.
    """
    user = current_user()
    if user is None:
        raise UsageError(
            f"check({name!r}) is called outside of a user, where nothing counts it. Allowed: in a task, on_start or "
            "on_stop, and in greenlets that these spawn. Next: call it there."
        )
    return check_of(user, name, is_met)


def check_of(user: Any, name: str, is_met: object) -> bool:
    """Count the check of a known user: see `check`."""
    series = Recorder.alongside_locust(user.environment).series(scenario_of(user), "", name, CHECK)
    now_s = perf_counter()
    if is_met:
        series.success(now_s, now_s, now_s, 0)
        return True
    note_failure(user)
    series.failure(now_s, now_s, now_s, 0, "check", "not met")
    return False


class Transaction:
    """Several requests measured as one, from the intended start of the first to the end of the block.

    It fails if a request, a check or a transaction in it fails, or if an exception leaves it. It is not counted if its
    user is stopped between two requests.

    Args:
        user: the user that sends the requests.
        name: such as "checkout"; one of a few, never a value.
    """

    __slots__ = ("_begun_s", "_failed_before", "_name", "_user")

    def __init__(self, user: Any, name: str) -> None:
        self._user = user
        self._name = name

    def __enter__(self) -> Self:
        """Begin at the intended start of the iteration if it has sent nothing yet, otherwise now."""
        now_s, intended_s = perf_counter(), self._user.intended_start_s
        self._begun_s = now_s if intended_s is None else min(intended_s, now_s)
        self._failed_before = self._user.failed_parts
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Count it; an exception propagates."""
        user, begun_s, end_s = self._user, self._begun_s, perf_counter()
        if isinstance(error, _STOPPED):
            return
        if error is not None and not isinstance(error, _LEFT_EARLY):
            note_failure(user)
        series = user.recorder.series(scenario_of(user), "", self._name, TRANSACTION)
        if user.failed_parts == self._failed_before:
            series.success(begun_s, begun_s, end_s, 0)
        else:
            series.failure(begun_s, begun_s, end_s, 0, *_reason(error))


def _reason(error: BaseException | None) -> tuple[str, str]:
    """Return the class and the message of a transaction's failure."""
    if error is None or isinstance(error, _LEFT_EARLY):
        return OTHER, "a request, a check or a transaction in it failed"
    if isinstance(error, GreenletExit):
        return UNFINISHED, "not complete when the user was stopped"
    return getattr(error, "error_class", "exception"), f"{type(error).__name__}: {error}"

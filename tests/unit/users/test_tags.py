"""Tags: they exist when Locust filters by them, and leave each User class a task."""

from types import SimpleNamespace
from typing import Any

import pytest
from locust import TaskSet, User, tag, task

from loadtest.exceptions import UsageError
from loadtest.users import tags


class Inner(TaskSet):
    """A nested TaskSet."""

    @tag("delete")
    @task
    def delete(self) -> None:
        """Delete."""


class Reader(User):
    """A user with tags of its own and of a TaskSet."""

    tasks = [Inner]  # noqa: RUF012 -- Locust's form

    @tag("read", "quick")
    @task
    def read(self) -> None:
        """Read."""


def environment(chosen: str = "", excluded: str = "") -> Any:
    """Return the parts of an Environment that the check reads."""
    options = SimpleNamespace(tags=chosen.split(), exclude_tags=excluded.split())
    return SimpleNamespace(parsed_options=options, user_classes=[Reader])


@pytest.mark.parametrize(("chosen", "excluded"), [("", ""), ("read", ""), ("delete", "quick"), ("", "read")])
def test_tags_that_leave_a_task_are_allowed(chosen: str, excluded: str) -> None:
    """Tags of the class's own tasks and of nested TaskSets are known."""
    assert tags.check(environment(chosen, excluded)) is None


WRONG = {
    "unknown": (
        "raed",
        "",
        "LOCUST_TAGS=raed: no task has the tag 'raed'. Allowed: delete, quick, read. Next: did",
    ),
    "unknown exclusion": ("", "delet", "LOCUST_EXCLUDE_TAGS=delet: no task has the tag 'delet'."),
    "nothing left": ("quick", "read", "LOCUST_TAGS=quick, LOCUST_EXCLUDE_TAGS=read: no task of Reader is left."),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_filters_nothing_or_everything_is_refused(case: str) -> None:
    """The error names the setting, the tag, and the existing tags."""
    chosen, excluded, words = WRONG[case]
    with pytest.raises(UsageError) as raised:
        tags.check(environment(chosen, excluded))
    assert str(raised.value).startswith(words)
    assert "Next: " in str(raised.value)

"""Tags: checks before a test that the tags for Locust's filter exist, and that they leave each user a task.

Locust filters silently: a misspelt tag leaves no task or excludes none, so users end or run the wrong tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from locust.user.task import is_markov_taskset

from loadtest.exceptions import UsageError, nearest_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.env import Environment


def check(environment: Environment) -> None:
    """Check the tags that filter a test's tasks.

    Args:
        environment: Locust's; uses its options `tags` and `exclude_tags`, which LOCUST_TAGS and LOCUST_EXCLUDE_TAGS
            set.

    Raises:
        UsageError: no task has one of the tags, or they leave a User class without tasks.
    """
    options: Any = environment.parsed_options
    chosen = {"LOCUST_TAGS": options.tags or [], "LOCUST_EXCLUDE_TAGS": options.exclude_tags or []}
    if not any(chosen.values()):
        return
    known = sorted({tag for kind in environment.user_classes for task in _tasks(kind) for tag in _tags_of(task)})
    problems = []
    for setting, tags in chosen.items():
        for tag in tags:
            if tag not in known:
                nearest = nearest_name(tag, known)
                advice = f"did you mean {nearest}?" if nearest else f"leave {setting} out, or use one of them."
                allowed = ", ".join(known) or "none, the scenario has no tags"
                problems.append(
                    f"{setting}={' '.join(tags)}: no task has the tag {tag!r}. Allowed: {allowed}. Next: {advice}"
                )
    include, exclude = map(set, chosen.values())
    for kind in () if problems else environment.user_classes:
        if not any(_is_left(task, include, exclude) for task in _tasks(kind)):
            given = ", ".join(f"{setting}={' '.join(tags)}" for setting, tags in chosen.items() if tags)
            problems.append(
                f"{given}: no task of {kind.__name__} is left. Allowed: tags that leave each User class a task. "
                "Next: choose fewer tags to exclude, or other tags."
            )
    if problems:
        raise UsageError("\n".join(problems))


def _tasks(holder: Any) -> Iterator[Any]:
    """Yield the task functions of a User or TaskSet class, including those of nested TaskSets."""
    for task in holder.tasks:
        if hasattr(task, "tasks") and not is_markov_taskset(task):  # which Locust does not filter
            yield from _tasks(task)
        else:
            yield task


def _tags_of(task: Any) -> set[str]:
    return getattr(task, "locust_tag_set", set())


def _is_left(task: Any, include: set[str], exclude: set[str]) -> bool:
    """Whether Locust keeps a task; see `locust.user.task.filter_tasks_by_tags`."""
    if is_markov_taskset(task):
        return True
    return (not include or bool(_tags_of(task) & include)) and not _tags_of(task) & exclude

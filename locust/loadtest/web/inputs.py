"""Limits on the values in a start from the web UI, and in a change to a User class.

Locust accepts any of its command-line options as a field of its start form, including files to write, and sets any
attribute of a User class. It ignores unknown names: a start with a misspelt name for its thresholds would run without
them, and pass. Here only the form's own fields are accepted, each once and within limits.

Tested in tests/native/test_web_guard.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

from locust.argument_parser import ui_extra_args_dict
from pydantic import Field, TypeAdapter, ValidationError

from loadtest.exceptions import UsageError, nearest_name
from loadtest.settings.config import Config, allowed
from loadtest.settings.value_types import Seconds, SpawnRate
from loadtest.web.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from flask import Request
    from locust.env import Environment

    from loadtest.settings.hosts import Targets
    from loadtest.web.hidden_hosts import HiddenHosts

MAX_BYTES: Final = 256 * 1024
"""The longest body that the web UI accepts, in bytes."""
LONGEST_TEXT: Final = 4096
"""The longest value of a field, in characters."""
START: Final = "locust.swarm"
CHANGE: Final = "locust.update_user"
_FORM: Final = frozenset({"user_count", "spawn_rate", "run_time", "host", "profile"})
_PICKER: Final = frozenset({"user_classes", "shape_class"})
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_USER_CLASS: Final = frozenset({"user_class_name", "host", "weight", "fixed_count", "tasks"})
_LARGEST_WEIGHT: Final = 1_000_000


class Inputs:
    """The limits on the web UI's inputs.

    Args:
        environment: the master's Environment.
        config: its `max_users` is the maximum number of users.
        targets: the hosts that may be loaded.
        hidden: the hosts that are displayed without their passwords.
        check_load: raises UsageError if the load in a start's fields is invalid. It is called when something else is
            already wrong, so that a person can correct everything at once.
    """

    def __init__(
        self,
        environment: Environment,
        config: Config,
        targets: Targets,
        hidden: HiddenHosts,
        check_load: Callable[[Mapping[str, str], Environment], object] | None = None,
    ) -> None:
        self._environment = environment
        self._targets = targets
        self._hidden = hidden
        self._check_load = check_load
        self._kinds: dict[str, tuple[TypeAdapter[Any], str]] = {
            "user_count": (
                TypeAdapter(Annotated[int, Field(ge=1, le=config.max_users)]),
                f"a whole number from 1 to {config.max_users} (LOADTEST_MAX_USERS)",
            ),
            "spawn_rate": (TypeAdapter(SpawnRate), allowed("spawn_rate")),
            "run_time": (TypeAdapter(Seconds), allowed("run_time")),
        }

    def check(self, request: Request) -> None:
        """Check what a request would start or change.

        Raises:
            Refusal: 400 with a sentence for each problem, or 403 for a host that may not be loaded.
        """
        if request.endpoint == START:
            self._check_start(request)
        elif request.endpoint == CHANGE:
            self._check_change(request)

    def _check_start(self, request: Request) -> None:
        fields = request.form
        problems = list(self._ignored(request))
        problems += [_too_long(name) for name, value in fields.items(multi=True) if len(value) > LONGEST_TEXT]
        for name, (kind, may_be) in self._kinds.items():
            for value in filter(str.strip, fields.getlist(name)):
                if value == "0" and self._environment.shape_class is not None:  # sent by the form if the shape decides
                    continue
                try:
                    kind.validate_python(value.strip())
                except ValidationError:
                    problems.append(_not_allowed(name, value, may_be))
        if classes := set(fields.getlist("user_classes")) - set(self._environment.available_user_classes or ()):
            problems.append(_not_allowed("user_classes", ", ".join(sorted(classes)), "those of the form"))
        shapes = {"Default", *(self._environment.available_shape_classes or ())}
        problems += [
            _not_allowed("shape_class", value, "those of the form")
            for value in fields.getlist("shape_class")
            if value not in shapes
        ]
        wrong_hosts = list(self._wrong(fields.getlist("host")))
        if problems or wrong_hosts:
            found = [*problems, *wrong_hosts, *self._wrong_load(fields)]
            raise Refusal(400 if problems else 403, " ".join(found))

    def _ignored(self, request: Request) -> Iterator[str]:
        """Yield a sentence for everything in a start that Locust would ignore."""
        fields, extra = request.form, ui_extra_args_dict()
        web_ui: Any = self._environment.web_ui
        known = _FORM.union(extra, _PICKER if web_ui.userclass_picker_is_active else ())
        yield from _unknown(set(fields), known)
        several = {"user_classes", *(name for name, option in extra.items() if option["is_multiple"])}
        for name in sorted(known - several):
            if len(fields.getlist(name)) > 1:
                yield f"{name} is given {len(fields.getlist(name))} times. Allowed: once. Next: keep one of them."
        if fields.get("profile") not in (None, "", self._environment.profile):
            shown = fields["profile"][:100]
            yield f"profile {shown!r} is only a label of Locust's. Allowed: nothing. Next: did you mean load_profile?"
        for place, names in (("the address", request.args), ("a file", request.files)):
            if names:
                shown = ", ".join(sorted(names))[:100]
                yield f"{shown!r} is in {place}, which is not read. Allowed: fields of a form. Next: send it as one."
        if request.mimetype not in _FORM_TYPES and (request.mimetype or request.content_length):
            shown = request.mimetype[:100]
            yield f"a start of the type {shown!r} is not read. Allowed: {_FORM_TYPES[0]}. Next: send a form."

    def _check_change(self, request: Request) -> None:
        try:
            wanted = json.loads(request.get_data())
        except (ValueError, RecursionError):
            wanted = None
        known = self._environment.available_user_classes or {}
        if not isinstance(wanted, dict) or wanted.get("user_class_name") not in list(known):  # it may be a list
            raise Refusal(
                400,
                "the request does not name a User class that can be changed. Allowed: those of Locust's class picker. "
                "Next: start Locust with --class-picker.",
            )
        self._hidden.take_change(request, wanted)
        problems = list(_unknown(set(wanted), _USER_CLASS))
        problems += [
            _not_allowed(name, str(wanted[name]), f"a whole number from 0 to {_LARGEST_WEIGHT}")
            for name in ("weight", "fixed_count")
            if name in wanted and (type(wanted[name]) is not int or not 0 <= wanted[name] <= _LARGEST_WEIGHT)
        ]
        if not isinstance(wanted.get("host"), str | None):
            problems.append(_not_allowed("host", str(wanted["host"]), "a text"))
        tasks = wanted.get("tasks", [])
        if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
            problems.append(_not_allowed("tasks", str(tasks), "a list of names"))
        wrong_hosts = list(self._wrong([str(wanted.get("host") or "")]))
        if problems or wrong_hosts:
            raise Refusal(400 if problems else 403, " ".join([*problems, *wrong_hosts]))

    def _wrong_load(self, fields: Mapping[str, str]) -> list[str]:
        unchecked = {
            name: value for name, value in fields.items() if name not in self._kinds and len(value) <= LONGEST_TEXT
        }
        try:
            if self._check_load is not None:
                self._check_load(unchecked, self._environment)
        except UsageError as error:
            return str(error).splitlines()
        return []

    def _wrong(self, hosts: Iterable[str]) -> Iterator[str]:
        for host in filter(None, hosts):
            try:
                self._targets.check(host)
            except UsageError as error:
                yield str(error)


def _unknown(given: set[str], known: frozenset[str] | set[str]) -> Iterator[str]:
    for name in sorted(given - known)[:3]:
        nearest = nearest_name(name, sorted(known))
        advice = f"did you mean {nearest}?" if nearest else "leave it out."
        yield f"{name[:100]!r} is not a field of this form. Allowed: {', '.join(sorted(known))}. Next: {advice}"


def _too_long(name: str) -> str:
    return f"{name} is too long. Allowed: up to {LONGEST_TEXT} characters. Next: shorten it."


def _not_allowed(name: str, value: str, may_be: str) -> str:
    return f"{name.replace('_', ' ')} {value[:100]!r} is not allowed. Allowed: {may_be}. Next: correct it."

"""Session: the objects of this product that belong to one Locust Environment, looked up by type.

It is the only attribute that is added to an Environment. A process has one Environment; tests have several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

Part = TypeVar("Part")

_ATTRIBUTE: Final = "loadtest"


class Session:
    """The parts of one Environment."""

    def __init__(self) -> None:
        """Use `Session.of`."""
        self._parts: dict[type, Any] = {}

    @classmethod
    def of(cls, environment: Environment) -> Session:
        """Return the Environment's session, created on first use."""
        session: Session | None = vars(environment).get(_ATTRIBUTE)
        if session is None:
            session = vars(environment)[_ATTRIBUTE] = cls()
        return session

    def find(self, kind: type[Part]) -> Part | None:
        """Return the part of this type; None if there is none."""
        part: Part | None = self._parts.get(kind)
        return part

    def find_or_make(self, kind: type[Part], make: Callable[[], Part]) -> Part:
        """Return the part of this type, created on first use."""
        if kind not in self._parts:
            self._parts[kind] = make()
        part: Part = self._parts[kind]
        return part

    def put(self, kind: type[Part], part: Part | None) -> None:
        """Store a part as the one of this type; None removes it."""
        self._parts[kind] = part

"""Flask without the features that no room uses but every request would pay for.

Tested through its requests, in tests/target_app/test_documents.py.
"""

from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface

_NOTHING: Final = NullSession()


class _NoSessions(SessionInterface):
    """Neither reads nor sets cookies: rooms with accounts identify their users by tokens."""

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask passes them
        """Return an empty session."""
        return _NOTHING

    def is_null_session(self, obj: object) -> bool:  # noqa: ARG002
        """Return True: there is nothing to save."""
        return True


class Application(Flask):
    """An application whose views are plain functions, without sessions in cookies."""

    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function unchanged: no view is async, which Flask would check on every call."""
        return func

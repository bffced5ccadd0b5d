"""The errors that end a WebSocket session, or a round trip within it.

Tested in tests/unit/clients/websocket/test_hostile.py.
"""

from typing import Final

from locust.exception import RescheduleTask

from loadtest.clients.http.errors import HttpError

CLOSE_CODE: Final = "close_code"
"""The class of a session that the server closed with an error code."""


class SessionError(HttpError, RescheduleTask):
    """A session failed, or could not be opened; it has been counted.

    It is also Locust's ``RescheduleTask``: if the scenario does not catch it, it ends its task as ``return`` would.

    Attributes:
        error_class: The class under which it is counted.
    """

    def __init__(self, error_class: str, message: str) -> None:
        """Keep the class together with the text."""
        super().__init__(message)
        self.error_class = error_class  # type: ignore[misc]

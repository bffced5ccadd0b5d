"""Refusal: the response to a request that the web UI does not accept: a status and a sentence.

Tested in tests/native/test_web_guard.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import jsonify

if TYPE_CHECKING:
    from flask import Response


class Refusal(Exception):  # noqa: N818 - it is a response, not an error of this process
    """Ends the handling of a request.

    Args:
        status: the status code of the response, 4xx.
        sentence: what was wrong, the value, what is allowed, the next step.
        headers: further headers of the response.
    """

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """Return the response, in the form that Locust's page expects for a start."""
        answer = jsonify({"success": False, "message": str(self)})
        answer.status_code = self.status
        answer.headers.update(self.headers)
        return answer

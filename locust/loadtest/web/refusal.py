"""Refusal: a request that the web UI does not serve, with its status and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import jsonify

if TYPE_CHECKING:
    from flask import Response


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of this process
    """Ends the handling of a request.

    Args:
        status: of the answer, 4xx.
        sentence: what was wrong, the value, what is allowed, the next step.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """Return the answer, in the form in which Locust's page reads the answer of a start."""
        answer = jsonify({"success": False, "message": str(self)})
        answer.status_code = self.status
        answer.headers.update(self.headers)
        return answer

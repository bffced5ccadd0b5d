"""Shared by the tests of errors."""

from werkzeug.test import TestResponse

URL = "/api/v1/documents/test:problem"
"""The document of the fixture `problem_document`."""


def problem(response: TestResponse) -> tuple[int, str]:
    """Check that a response is problem details, and return its status and type."""
    body = response.get_json(force=True)
    assert response.mimetype == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert (body["status"], body["instance"]) == (response.status_code, response.request.path)
    assert body["title"]
    assert body["detail"]
    return body["status"], body["type"]

"""The HTTP client."""

from loadtest.clients.http.expect import Expect
from loadtest.clients.http.user import HttpUser

__all__ = ["Expect", "HttpUser"]

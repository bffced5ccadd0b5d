"""The HTTP client."""

from loadtest.clients.http.user import HttpUser

__all__ = ["HttpUser"]

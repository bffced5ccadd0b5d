"""WebSocketUser: an HttpUser whose client also opens WebSocket sessions.

Sessions share the user's cookies, headers, timeouts and TLS context, as those of a browser's page do.

Tested in tests/unit/clients/websocket/test_client.py.
"""

from loadtest.clients.http import HttpUser
from loadtest.clients.websocket.client import WebSocketClient


class WebSocketUser(HttpUser):
    """A user with an HTTP client that opens WebSocket sessions too: ``self.client.websocket(...)``."""

    abstract = True
    client: WebSocketClient
    _client_kind = WebSocketClient

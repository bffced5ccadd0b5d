"""WebSocketUser: an HttpUser whose client also opens WebSocket sessions.

Sessions share the user's cookies, headers, timeouts and TLS context, as in a browser.

Tested in tests/unit/clients/websocket/test_client.py.
"""

from loadtest.clients.http import HttpUser
from loadtest.clients.websocket.client import WebSocketClient


class WebSocketUser(HttpUser):
    """A user whose HTTP client also opens WebSocket sessions: ``self.client.websocket(...)``."""

    abstract = True
    client: WebSocketClient
    _client_kind = WebSocketClient

"""The WebSocket client."""

from loadtest.clients.websocket.user import WebSocketUser

__all__ = ["WebSocketUser"]

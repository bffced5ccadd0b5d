"""HTTP, WebSocket and RedisJSON clients under Locust's User API."""

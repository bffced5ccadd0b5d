"""The RedisJSON client."""

from loadtest.clients.redis.user import LAZY, RAW, LazyJson, Missing, RedisJsonClient, RedisJsonUser

__all__ = ["LAZY", "RAW", "LazyJson", "Missing", "RedisJsonClient", "RedisJsonUser"]

"""The RedisJSON client."""

from loadtest.clients.redis.user import LAZY, RAW, LazyJson, RedisJsonClient, RedisJsonUser

__all__ = ["LAZY", "RAW", "LazyJson", "RedisJsonClient", "RedisJsonUser"]

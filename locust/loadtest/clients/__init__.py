"""HTTP and RedisJSON clients under Locust's User API."""

"""The sample system under test: a Flask application over RedisJSON."""

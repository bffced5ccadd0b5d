"""Ways to serve a RedisJSON document of 14 kB in Flask, from the naive one to the sample target's.

gunicorn 'bench.target.variants:create_app("json")'
"""

import os
import sys
from collections.abc import Callable

import orjson
import redis
from flask import Flask, Response, jsonify

KEY = "loadtest:bench"
PATH = "/api/v1/documents/bench"


def _through_json(client: redis.Redis) -> Response:
    return jsonify(client.json().get(KEY))


def _through_orjson(client: redis.Redis) -> Response:
    document = orjson.loads(client.execute_command("JSON.GET", KEY))
    return Response(orjson.dumps(document), mimetype="application/json")


def _passed_through(client: redis.Redis) -> Response:
    return Response(client.execute_command("JSON.GET", KEY, NEVER_DECODE=True), mimetype="application/json")


WAYS: dict[str, Callable[[redis.Redis], Response]] = {
    "json": _through_json, "orjson": _through_orjson, "bytes": _passed_through
}  # fmt: skip


def create_app(way: str) -> Flask:
    """Return an application that responds in this way."""
    app = Flask(__name__)
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    answer = WAYS[way]
    app.add_url_rule(PATH, view_func=lambda: answer(client), endpoint="document")
    return app


if __name__ == "__main__":
    create_app("json").run("127.0.0.1", int(sys.argv[1]))

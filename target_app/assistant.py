"""An assistant that streams its answer token by token, at the pace of a language model. It does not use Redis.

The seed in a question determines the answer and its pace: the time to the first token, and between tokens. Each token
carries the time at which it was sent, so that the times measured by a load generator on the same machine can be
checked. Each answer occupies one of the server's threads until it ends.
"""

import random
import time
from collections.abc import Iterator

import orjson
from flask import Blueprint, Response
from pydantic import Field

from target_app import inputs
from target_app.openapi import described, json_object

blueprint = Blueprint("assistant", __name__, url_prefix="/api/assistant")

EVENT_STREAM = "text/event-stream"
MAX_TOKENS = 100
FIRST_TOKEN_S = 0.05
"""The median time to the first token. The times are log-normally distributed, limited to ten times the median."""
GAP_S = 0.01
"""The mean time between two tokens. The times are gamma-distributed."""
_SPREAD = 0.5
_SHAPE = 4.0
_EVENT = json_object(event={"type": "string"}, data={"type": "string"})
_TEXT = (
    "a prime number has two divisors one and itself so the list of them begins with two three five and it never ends "
    "because any finite list leaves out a divisor of its product plus one"
)
_WORDS = _TEXT.split()


class Question(inputs.Strict):
    """A question to the assistant."""

    question: str = Field(min_length=1, max_length=2_000, examples=["What is a prime number?"])
    seed: int = Field(default=0, ge=0, lt=2**32, description="determines the answer and its pace")
    tokens: int = Field(default=20, ge=1, le=MAX_TOKENS, description="the number of tokens in the answer")


@blueprint.post("/answers")
@described(body=Question, answer=_EVENT, media_type=EVENT_STREAM)
def answer() -> Response:
    """Answer a question with one server-sent event per token: `{"question": …}`, with `seed` and `tokens`."""
    response = Response(_events(inputs.body(Question), time.perf_counter()), content_type=EVENT_STREAM)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy must not buffer the tokens
    return response


def due_s(question: Question) -> list[float]:
    """Return when each token is due, in seconds from the question."""
    chance = random.Random(question.seed)  # noqa: S311 - a pace, not a secret
    moment_s = min(chance.lognormvariate(0, _SPREAD), 10) * FIRST_TOKEN_S
    moments = [moment_s]
    for _ in range(question.tokens - 1):
        moment_s += chance.gammavariate(_SHAPE, GAP_S / _SHAPE)
        moments.append(moment_s)
    return moments


def _events(question: Question, asked_s: float) -> Iterator[bytes]:
    """Yield each token when it is due; `sent_s` is the time on the machine's monotonic clock."""
    yield b": thinking\n\n"  # a comment, so that the response head is sent immediately
    first_word = question.seed % len(_WORDS)
    for number, moment_s in enumerate(due_s(question)):
        time.sleep(max(0.0, asked_s + moment_s - time.perf_counter()))
        word = _WORDS[(first_word + number) % len(_WORDS)]
        is_last = number == question.tokens - 1
        token = {"index": number, "token": f"{word} ", "is_last": is_last, "sent_s": time.perf_counter()}
        yield b"data: " + orjson.dumps(token) + b"\n\n"

"""The assistant responds with a stream of tokens, at a pace that its seed determines."""

import json
import statistics
import time
from itertools import pairwise

from flask.testing import FlaskClient

from target_app.assistant import FIRST_TOKEN_S, GAP_S, MAX_TOKENS, Question, due_s

URL = "/api/assistant/answers"


def test_an_answer_is_a_stream_of_server_sent_events(client: FlaskClient) -> None:
    """Each token says when it was sent and whether it is the last; caching and buffering are forbidden."""
    before_s = time.perf_counter()
    answer = client.post(URL, json={"question": "What is a prime number?", "seed": 3, "tokens": 4})
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
    comment, *events, rest = answer.text.split("\n\n")
    assert (comment, rest) == (": thinking", "")
    tokens = [json.loads(event.removeprefix("data: ")) for event in events]
    assert [token["index"] for token in tokens] == [0, 1, 2, 3]
    assert [token["is_last"] for token in tokens] == [False, False, False, True]
    assert "".join(token["token"] for token in tokens) == "has two divisors one "
    # The stamps are this machine's monotonic clock, and never before a token was due.
    due = due_s(Question(question="?", seed=3, tokens=4))
    assert all(token["sent_s"] >= before_s + moment_s for token, moment_s in zip(tokens, due, strict=True))
    assert tokens[-1]["sent_s"] <= time.perf_counter()


def test_the_seed_decides_the_pace() -> None:
    """The same seed gives the same pace, other seeds others; times are close to the two constants."""
    assert due_s(Question(question="a", seed=5)) == due_s(Question(question="b", seed=5))
    paces = [due_s(Question(question="a", seed=seed, tokens=MAX_TOKENS)) for seed in range(200)]
    first = [pace[0] for pace in paces]
    gaps = [later - moment for pace in paces for moment, later in pairwise(pace)]
    assert len(set(first)) == len(first)
    assert 0.8 < statistics.median(first) / FIRST_TOKEN_S < 1.25
    assert 0.95 < statistics.mean(gaps) / GAP_S < 1.05
    assert max(first) <= 10 * FIRST_TOKEN_S
    assert min(gaps) > 0


def test_wrong_questions_are_refused(client: FlaskClient) -> None:
    """Each error names the field."""
    wrong = (({}, "question"), ({"question": "a", "tokens": 0}, "tokens"), ({"question": "a", "seed": -1}, "seed"))
    for body, field in wrong:
        problem = client.post(URL, json=body)
        assert problem.status_code in {422}
        assert field in problem.json["detail"]

"""Questions to an assistant that answers in a stream of tokens, as a language model does.

Time to first token is `first_event`, time between tokens `event_gap`, tokens per second within an answer the pace.
"""

import random

from locust import between, task

from loadtest.clients.http import HttpUser  # Locust's own client cannot time a stream
from loadtest.scenarios import Scenario

NAME = "assistant"
SEEDS = 1_000
"""The number of different answers, each with its own pace."""

_CHANCE = random.Random(42)  # noqa: S311 - no secret
_QUESTIONS = ("What is a prime number?", "How many of them are there?", "Who found that out, and how?")


class AssistantUser(HttpUser):
    """Asks a question and reads the answer to its end."""

    scenario = NAME
    wait_time = between(0.1, 0.5)
    times_arrivals = True  # two tokens are 10 ms apart: a worker that reads one 1 ms late is 10 % off

    @task
    def ask(self) -> None:
        """Ask; an answer without its end counts as failed."""
        question = {
            "question": _CHANCE.choice(_QUESTIONS),
            "seed": _CHANCE.randrange(SEEDS),
            "tokens": _CHANCE.randint(10, 40),
        }
        with self.client.stream("POST", "/api/assistant/answers", name="assistant/answer", json=question) as answer:
            last = None
            for event in answer.events():
                last = event
            if answer.ok and not (last and last.json()["is_last"]):
                answer.failure("the answer has no end")


scenario = Scenario(
    name=NAME,
    user_classes=(AssistantUser,),
    requests=(("POST", "assistant/answer"),),
    streams=(("POST", "assistant/answer"),),
)

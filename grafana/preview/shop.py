"""The scenario of the run that the dashboards' previews show: something for every panel.

A user looks at an article and buys it, asks an assistant that answers in a stream, and now and then wants what is not
there.
"""

import itertools

from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.users.steps import check

_NUMBERS = itertools.count()


class Shopper(HttpUser):
    """Buys articles."""

    scenario = "shop"
    wait_time = between(0.2, 0.6)

    def on_start(self) -> None:
        """Write the article that this user buys."""
        self.article = f"/api/v1/documents/load:preview:{next(_NUMBERS)}"
        self.client.put(self.article, name="shop/put", json={"name": "a lamp", "stock": 1_000_000})

    @task(6)
    def look_and_buy(self) -> None:
        """Look at the article, then take one from the stock."""
        with self.transaction("look and buy"):
            seen = self.client.get(self.article, name="shop/get")
            check("there is an article", "name" in seen.text)
            self.client.post(f"{self.article}/increment", name="shop/buy", json={"path": "$.stock", "by": -1})

    @task(2)
    def ask(self) -> None:
        """Ask the assistant, and read its answer to the end."""
        question = {"question": "Is it bright?", "seed": next(_NUMBERS), "tokens": 20}
        with self.client.stream("POST", "/api/assistant/answers", name="shop/answer", json=question) as answer:
            for _event in answer.events():
                pass

    @task(1)
    def want_what_is_not_there(self) -> None:
        """Look for an article that nobody sells: it fails."""
        self.client.get("/api/v1/documents/load:preview:none", name="shop/missing")

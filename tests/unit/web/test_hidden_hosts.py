"""A host with a password in the web UI, in everything that Locust serves."""

from collections.abc import Iterator

import pytest
from locust import HttpUser, User
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment
from werkzeug.test import Client

from loadtest.settings.config import Config
from loadtest.settings.urls import without_credentials
from loadtest.web import guard

SECRET = "hunter2'&<ü"  # noqa: S105 - with what JSON and pages write otherwise
HOSTS = {
    "of a class": (None, f"http://ann:{SECRET}@127.0.0.1:9"),
    "given": (f"redis://:{SECRET}@127.0.0.1:9/0", None),
    "in a parameter": (f"grpc://127.0.0.1:9?token={SECRET}", None),
}


@pytest.fixture(params=HOSTS)
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """An Environment with a web UI that does not listen, whose host contains a password."""
    monkeypatch.setattr("sys.argv", ["locust"])  # Locust reads them for its page
    given, of_class = HOSTS[request.param]
    parser = get_empty_argument_parser()
    setup_parser_arguments(parser)
    kinds: list[type[User]] = [type("Shopper", (HttpUser,), {"host": of_class, "tasks": [lambda _user: None]})]
    pickable = {kind.__name__: kind for kind in kinds}
    made = Environment(
        user_classes=kinds, host=given, parsed_options=parser.parse(args=[]), available_user_classes=pickable
    )
    made.available_user_tasks = {name: kind.tasks for name, kind in pickable.items()}
    made.create_local_runner()
    made.create_web_ui("127.0.0.1", 0, delayed_start=True)
    guard.start(made, Config(host=given) if given else Config())
    yield made
    made.runner.quit()


@pytest.fixture
def client(environment: Environment) -> Client:
    """A client that may start tests."""
    client: Client = environment.web_ui.app.test_client()
    return client


def test_no_password_of_a_host_is_served(client: Client) -> None:
    """It is in neither page, report, response nor download name; the host itself is shown."""
    paths = ("/", "/stats/report", "/stats/report?download=1", "/stats/requests", "/stats/requests/csv", "/tasks")
    answers = [client.get(path, base_url="http://localhost") for path in paths]
    form = {"user_count": "1", "spawn_rate": "1"}
    answers.append(client.post("/swarm", base_url="http://localhost", data=form))
    assert {answer.status_code for answer in answers} == {200}
    served = "\n".join(f"{answer.headers}\n{answer.text}" for answer in answers)
    assert ("hunter2" in served, "***" in answers[0].text, "***" in answers[1].text) == (False, True, True)


def test_the_host_that_is_shown_means_the_one_that_is_set(environment: Environment, client: Client) -> None:
    """The page submits it with each start."""
    before = environment.host
    shown = without_credentials(before or environment.user_classes[0].host)
    form = {"user_count": "1", "spawn_rate": "1", "host": shown}
    answer = client.post("/swarm", base_url="http://localhost", data=form)
    assert (answer.status_code, environment.host) == (200, before)
    other = client.post("/swarm", base_url="http://localhost", data={**form, "host": "http://***@elsewhere"})
    assert other.status_code == 403


def test_a_change_of_a_class_keeps_the_host_that_is_shown(environment: Environment, client: Client) -> None:
    """Locust's class picker submits what it shows of a class; the host of another class is not accepted this way."""
    (kind,) = environment.user_classes
    kind.host = before = kind.host or environment.host
    change = {"user_class_name": "Shopper", "host": without_credentials(before), "weight": 7}
    answer = client.post("/user", base_url="http://localhost", json=change)
    assert (answer.status_code, kind.host, kind.weight) == (201, before, 7)
    elsewhere = client.post("/user", base_url="http://localhost", json={**change, "host": "http://***@elsewhere"})
    assert (elsewhere.status_code, kind.host) == (403, before)


def test_the_host_of_a_class_that_is_not_chosen_is_hidden_too(environment: Environment, client: Client) -> None:
    """Locust's page lists every class in the picker."""
    (kind,) = environment.user_classes
    kind.host = kind.host or environment.host
    environment.user_classes, environment.host = [], None
    assert "hunter2" not in client.get("/", base_url="http://localhost").text

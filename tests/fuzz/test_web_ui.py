"""Random requests to the web UI: each gets one of the web UI's own status codes, and starts nothing."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from locust import User
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment

from loadtest.settings.config import Config
from loadtest.web import guard
from tests.fuzz.cases import fuzz, json_values

TEXTS = st.one_of(
    st.sampled_from(["1", "0", "-1", "1e9", "nan", "9" * 5_000, "9s", "http://", "file:///x", "Idle", "Default", "\0"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
NAMES = st.one_of(
    st.sampled_from(
        [
            *("user_count", "spawn_rate", "run_time", "host", "user_classes", "shape_class", "profile", "html_file"),
            *("user_class_name", "weight", "fixed_count", "tasks", "__init__"),
        ]
    ),
    TEXTS,
)
JSON = json_values(NAMES, TEXTS)
BODIES = st.one_of(
    st.lists(st.tuples(NAMES, TEXTS), max_size=6).map(urlencode).map(str.encode),
    JSON.map(json.dumps).map(str.encode),
    st.dictionaries(NAMES, JSON, max_size=4).map({"user_class_name": "Idle"}.__or__).map(json.dumps).map(str.encode),
    st.binary(max_size=60),
    st.lists(st.tuples(NAMES, TEXTS), max_size=3).map(
        lambda fields: "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
        ).encode()
    ),
)
KINDS = st.sampled_from(
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", "application/json"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["Origin", "Host", "Sec-Fetch-Site", "Cookie", "X-Loadtest-Token", "Content-Length", "Accept"]),
    st.one_of(
        st.sampled_from(["http://localhost", "localhost", "[::1", "none", "loadtest_session=x", "-1", "text/html"]),
        st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=20),
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def master() -> Iterator[tuple[FlaskClient, Environment]]:
    """A client of a guarded web UI that does not listen, and its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["locust"])  # Locust reads them for its page
        parser = get_empty_argument_parser()
        setup_parser_arguments(parser)
        classes = [type("Idle", (User,), {})]
        environment = Environment(user_classes=classes, parsed_options=parser.parse(args=[]))
        environment.available_user_classes = {one.__name__: one for one in classes}
        environment.available_user_tasks = {one.__name__: one.tasks for one in classes}
        environment.create_master_runner("127.0.0.1", 0)
        web_ui = environment.create_web_ui("127.0.0.1", 0, delayed_start=True)
        guard.start(environment, Config())
        yield web_ui.app.test_client(), environment
        environment.runner.quit()


@fuzz
@given(
    asked=st.tuples(
        st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]),
        st.sampled_from(["/swarm", "/swarm", "/user", "/user", "/stop", "/", "/login", "/logout", "/stats/requests"]),
    ),
    body=BODIES,
    kind=KINDS,
    headers=HEADERS,
)
def test_requests_to_the_web_ui(
    master: tuple[FlaskClient, Environment], asked: tuple[str, str], body: bytes, kind: str, headers: dict[str, Any]
) -> None:
    """No request causes a server error or asks a worker to start."""
    client, environment = master
    method, path = asked
    answer = client.open(path, method=method, data=body, content_type=kind, headers={"Host": "localhost", **headers})
    assert answer.status_code < 500, answer.text
    assert (environment.runner.state, environment.runner.target_user_count) == ("ready", 0)

"""The rooms: one system under test, the same name on both sides, paths that exist."""

import importlib
import pkgutil
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.routing import MapAdapter

import target_app
from loadtest import scenarios
from target_app.settings import Settings
from tests.journeys import Request, run_each_task_once

ROOT = Path(__file__).parents[2]
OF_THE_TARGET = [name for name in scenarios.names() if name != "key_value"]


@pytest.fixture
def app() -> Flask:
    """The target; no request to Redis is made."""
    return target_app.create_app(Settings())


def rooms_of_the_target() -> set[str]:
    """Return the modules of the target that hold a blueprint."""
    modules = [info.name for info in pkgutil.iter_modules(target_app.__path__) if info.name != "gunicorn_conf"]
    return {name for name in modules if hasattr(importlib.import_module(f"target_app.{name}"), "blueprint")}


def matched(adapter: MapAdapter, room: str, request: Request) -> str:
    """Return the endpoint of a request; one room has WebSocket sessions, which have their own routes."""
    endpoint: str = adapter.match(request.path, request.method, websocket=room == "notifications")[0]
    return endpoint


def test_target_and_scenarios_have_the_same_rooms() -> None:
    """Each room of the target has its scenario, and each scenario its room, except the one that loads only Redis."""
    assert set(OF_THE_TARGET) == rooms_of_the_target()


def test_every_room_is_served(app: Flask) -> None:
    """Every blueprint is registered under its module's name."""
    assert set(app.blueprints) == rooms_of_the_target()


@pytest.mark.parametrize("name", OF_THE_TARGET)
def test_every_path_of_a_scenario_is_a_route_of_its_room(
    name: str, app: Flask, target_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request that the users really send resolves to an endpoint of the room, with that method."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    adapter = app.url_map.bind("target")
    for user_class in scenarios.load(name).user_classes:
        requests = [request for request in run_each_task_once(user_class, target_url) if request.path.startswith("/")]
        endpoints = {matched(adapter, name, request).partition(".")[0] for request in requests}
        assert endpoints <= {name}


def test_every_endpoint_of_a_room_is_used_by_its_scenario(
    app: Flask, target_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every endpoint is loaded by a scenario, except for listing documents and deleting a part of one."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    adapter = app.url_map.bind("target")
    requested = {
        matched(adapter, name, request)
        for name in OF_THE_TARGET
        for user_class in scenarios.load(name).user_classes
        for request in run_each_task_once(user_class, target_url)
        if request.path.startswith("/")
    }
    served = {rule.endpoint for rule in app.url_map.iter_rules() if "." in rule.endpoint}
    assert served - requested == {"documents.list_documents", "documents.delete_value"}


def test_locust_is_a_source_root_and_no_package() -> None:
    """An `__init__.py` in locust/ would shadow the package locust, which everything depends on."""
    assert not (ROOT / "locust/__init__.py").exists()

"""What the service under test reaches from its container, if somebody took it over."""

import json
from collections.abc import Iterator

import pytest

from tests.stack.compose import Project, docker

REACH = """
import json, socket, sys
reached = []
for address, port in json.loads(sys.argv[1]):
    try:
        socket.create_connection((address, port), 1.0).close()
        reached.append([address, port])
    except OSError:
        pass
print(json.dumps(reached))
"""
CLOSED = {"locust_master": (5557, 8089, 9646), "redis_exporter": (9121,)}


@pytest.fixture(scope="module")
def project(built: Project) -> Iterator[Project]:
    """The running stack."""
    try:
        built.up(1)
        yield built
    finally:
        built.down()


def _addresses(project: Project, service: str) -> list[str]:
    containers = json.loads(docker("inspect", project.run("ps", "-q", service).strip()))
    return [network["IPAddress"] for network in containers[0]["NetworkSettings"]["Networks"].values()]


def _reached(project: Project, places: list[tuple[str, int]]) -> list[list[object]]:
    output = project.run("exec", "-T", "target_app", "python", "-c", REACH, json.dumps(places))
    found: list[list[object]] = json.loads(output)
    return found


def test_a_compromised_target_reaches_nothing_that_controls_the_load(project: Project) -> None:
    """Neither by address nor by name; its own store it does reach, so the attempt is a real one."""
    places = [
        (host, port)
        for service, ports in CLOSED.items()
        for host in (service, *_addresses(project, service))
        for port in ports
    ]
    assert _reached(project, places) == []
    assert _reached(project, [("redis", 6379)]) == [["redis", 6379]]

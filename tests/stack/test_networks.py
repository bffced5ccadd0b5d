"""What is reached from the container of the service under test, if somebody took it over, and by strangers."""

import json
from collections.abc import Iterator

import pytest

from tests.stack.compose import Project, docker

REACH = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_reached(place):
    try:
        socket.create_connection(place, 2.0).close()
    except OSError:
        return False
    return True
places = json.loads(sys.argv[1])
with ThreadPoolExecutor(64) as pool:
    print(json.dumps([place for place, found in zip(places, pool.map(is_reached, places)) if found]))
"""
ENDLESS = """
import json, socket, sys
def said(*commands):
    with socket.create_connection(("redis", 6379), 5.0) as connection:
        for words in commands:
            parts = [word.encode() for word in words]
            connection.sendall(b"*%d\\r\\n" % len(parts) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(p), p) for p in parts))
            answer = connection.recv(1000).decode()
        return answer.split(" ")[0].strip()
endless = ("EVAL", "while true do end", "0")
print(json.dumps({user: said(("AUTH", user, "none"), endless) for user in json.loads(sys.argv[1])}))
"""
USERS = ("target_app", "locust", "redis_exporter", "health", "default")
CLOSED = {"locust_master": (5557, 8089, 9646), "redis_exporter": (9121,), "prometheus": (9090,)}


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


def test_a_compromised_target_blocks_no_store(project: Project) -> None:
    """Under none of the users of Redis, which need no password in the plain stack, it starts a script without end."""
    said = json.loads(project.run("exec", "-T", "target_app", "python", "-c", ENDLESS, json.dumps(USERS)))
    assert said == {user: "-NOPERM" if user != "default" else "-NOAUTH" for user in USERS}
    assert _reached(project, [("redis", 6379)]) == [["redis", 6379]]


def _ports(project: Project) -> set[int]:
    """Return every port that a service of the stack listens on."""
    found = {5557}
    for container in project.containers():
        found |= {int(port.partition("/")[0]) for port in container["Config"].get("ExposedPorts") or {}}
    return found


def test_a_stranger_on_the_host_reaches_nothing(project: Project) -> None:
    """A container that has nothing to do with the stack: not its addresses, nor what it publishes on 127.0.0.1."""
    containers = {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in project.containers()}
    addresses = {address for service in containers for address in _addresses(project, service)}
    places: list[tuple[str, int]] = [(address, port) for address in addresses for port in _ports(project)]
    (gateway,) = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"]
    published = [
        project.port("target_app", 5000),
        project.port("locust_master", 8089),
        project.port("prometheus", 9090),
    ]
    places += [(gateway["Gateway"], port) for port in published]
    image = containers["target_app"]["Image"]
    output = docker("run", "--rm", "--network", "bridge", image, "python", "-c", REACH, json.dumps(places))
    assert (len(addresses) >= len(containers), json.loads(output)) == (True, [])


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

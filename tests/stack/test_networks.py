"""What is reached from the container of the service under test, if somebody took it over, and by strangers."""

import contextlib
import http.client
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.stack.compose import Project, docker, eventually
from tests.stack.conftest import needed

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


@pytest.fixture(scope="module", autouse=True)
def attack(project: Project) -> Iterator[Future[None]]:
    """Slow clients take all places of the exporter, while the other tests run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_take_all_places, ("127.0.0.1", project.port("locust_master", 9646)))


def _take_all_places(exporter: tuple[str, int]) -> None:
    with contextlib.ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection(exporter, 10)) for _ in range(32)]

        def status() -> int | None:
            for client in slow:
                with contextlib.suppress(OSError):
                    client.sendall(b"G")
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen("http://{}:{}/healthz".format(*exporter), timeout=1) as answer,
            ):
                return int(answer.status)
            return None

        eventually("no place is left", status, None)
        eventually("/healthz", status, 200)


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
    (bridge,) = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"]
    # Not every engine names the gateway that it chose: it is the first address.
    gateway = bridge.get("Gateway") or str(ipaddress.ip_network(bridge["Subnet"])[1])
    published = [
        project.port("target_app", 5000),
        project.port("locust_master", 8089),
        project.port("prometheus", 9090),
    ]
    places += [(gateway, port) for port in published]
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


@pytest.fixture
def outside() -> Iterator[tuple[str, int]]:
    """A server beyond this machine, as the internet is: it knows no way to the containers' own addresses."""
    needed("root, and the command ip", there=os.getuid() == 0 and shutil.which("ip") is not None)
    name, place = f"lt{uuid.uuid4().hex[:8]}", ("198.51.100.2", 8000)  # an address that is nobody's (RFC 5737)
    begin = (
        f"netns add {name}",
        f"link add {name} type veth peer name {name}p netns {name}",
        f"address add 198.51.100.1/30 dev {name}",
        f"link set {name} up",
        f"-netns {name} address add {place[0]}/30 dev {name}p",
        f"-netns {name} link set {name}p up",
    )
    with contextlib.ExitStack() as opened:
        opened.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        for words in begin:
            subprocess.run(["ip", *words.split()], check=True)
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "http.server", str(place[1]), "--bind", place[0]]
        server = opened.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        opened.callback(server.kill)
        eventually("the server", lambda: socket.create_connection(place, 1).close(), None)
        yield place


def test_one_network_alone_has_a_way_out(project: Project, outside: tuple[str, int]) -> None:
    """On it are master, workers, Prometheus and Grafana; the service under test and its store reach nothing."""
    image = next(one["Image"] for one in project.containers() if "target_app" in one["Name"])
    look = [image, "python", "-c", REACH, json.dumps([outside])]
    reached = {
        network: json.loads(docker("run", "--rm", "--network", f"{project.name}_{network}", *look))
        for network in ("edge", "data", "target", "store")
    }
    assert reached == {"edge": [list(outside)], "data": [], "target": [], "store": []}


def test_slow_clients_of_the_exporter_are_let_go(attack: Future[None]) -> None:
    """As many connections as it serves send a byte now and then, and never a whole request: /healthz answers again."""
    attack.result()


def test_a_foreign_name_is_no_way_to_the_exporter(project: Project) -> None:
    """A page whose domain resolves to this machine reads no metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", project.port("locust_master", 9646), timeout=30)
    statuses = {}
    for host in ("127.0.0.1", "evil.example", "127.0.0.1.evil.example"):
        connection.request("GET", "/metrics", headers={"Host": host})
        answer = connection.getresponse()
        statuses[host] = (answer.status, b"loadtest_" in answer.read())
    connection.close()
    assert statuses == {"127.0.0.1": (200, True), "evil.example": (421, False), "127.0.0.1.evil.example": (421, False)}

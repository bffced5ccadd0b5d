"""The addresses that a compromised service under test, and unauthorised hosts, can reach.

The stack is attacked as `docker compose up` starts it, and as `make up` does.
"""

import contextlib
import http.client
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from loadtest.swarm.keys import Keys
from tests.stack.compose import ROOT, Project, docker, eventually
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
ORDERS = """
import json, socket, sys
def said(*commands):
    with socket.create_connection(("redis", 6379), 5.0) as connection:
        for words in commands:
            parts = [word.encode() for word in words]
            connection.sendall(b"*%d\\r\\n" % len(parts) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(p), p) for p in parts))
            answer = connection.recv(1000).decode()
        return answer.split(" ")[0].strip()
users, orders = map(json.loads, sys.argv[1:])
print(json.dumps({user: {said(("AUTH", user, "none"), words): words for words in orders} for user in users}))
"""
MESSAGES = """
import json, msgpack, sys, zmq
public, others = json.loads(sys.argv[1]), [key.decode() for key in zmq.curve_keypair()]
ways = {
    "in the clear": None,
    "with the key": [public["master"], public["worker"], public["secret"]],
    "with the public keys": [public["master"], public["worker"], others[1]],
    "with the master's public key": [public["master"], *others],
    "with another key": [others[0], public["worker"], public["secret"]],
}
answered = []
for number, (way, keys) in enumerate(ways.items()):
    end = zmq.Context.instance().socket(zmq.DEALER)
    end.linger, end.identity = 0, b"stranger %d" % number
    if keys:
        end.curve_serverkey, end.curve_publickey, end.curve_secretkey = (key.encode() for key in keys)
    end.connect("tcp://locust_master:5557")
    end.send(msgpack.packb(("client_ready", "2.47.0", f"stranger {number}")))
    if end.poll(2_000):
        answered.append(way)
        end.send(msgpack.packb(("quit", None, f"stranger {number}")))
        end.poll(500)
    end.close()
print(json.dumps(answered))
"""
USERS = ("target_app", "locust", "redis_exporter", "health", "default")
CLOSED = {"locust_master": (5557, 8089, 9646), "redis_exporter": (9121,), "prometheus": (9090,)}
ORDERED = (
    ("EVAL", "while true do end", "0"),
    ("FUNCTION", "LOAD", "#!lua name=x"),
    ("SCRIPT", "KILL"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("ACL", "SETUSER", "target_app", "+@all"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "PAUSE", "60000"),
    ("REPLICAOF", "198.51.100.1", "6379"),
    ("MONITOR",),
    ("SHUTDOWN", "NOSAVE"),
)
"""What would block Redis, or be an order that only its owner may give."""
LARGE = "sum(sum_over_time((vector(1) * on() group_right() vector(2))[30d:60ms]))"
"""A query of Prometheus that needs no series, and of which one took all of its memory."""
PLAIN, SECRET = "plain", "secret"


@pytest.fixture(scope="module", params=[PLAIN, SECRET])
def project(request: pytest.FixtureRequest, built: Project) -> Iterator[Project]:
    """The running stack, as it starts by default, and with keys and logins."""
    started = built
    if request.param == SECRET:
        subprocess.run([ROOT / "local_conf" / "make_secrets.sh"], check=True, capture_output=True)
        started = Project(built.name, COMPOSE_FILE="docker-compose.yml:docker/secrets.yml")
    try:
        started.up(1)
        yield started
    finally:
        started.down()


only_with_secrets = pytest.mark.parametrize("project", [SECRET], indirect=True)


@pytest.fixture(scope="module", autouse=True)
def attack(project: Project) -> Iterator[Future[None]]:
    """Slow clients occupy all connections of the exporter while the other tests run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_take_all_places, ("127.0.0.1", project.port("locust_master", 9646)))


def _take_all_places(exporter: tuple[str, int]) -> None:
    until_s = time.monotonic() + 25.0  # longer than a request may take
    slow = [socket.create_connection(exporter, 10) for _ in range(32)]
    while time.monotonic() < until_s:
        for place, client in enumerate(slow):
            try:
                client.sendall(b"G")
            except OSError:  # disconnected
                client.close()
                slow[place] = socket.create_connection(exporter, 10)
        with urllib.request.urlopen("http://{}:{}/healthz".format(*exporter), timeout=10) as answer:
            assert answer.status == 200
    for client in slow:
        client.close()


def _addresses(project: Project, service: str) -> list[str]:
    containers = json.loads(docker("inspect", project.run("ps", "-q", service).strip()))
    return [network["IPAddress"] for network in containers[0]["NetworkSettings"]["Networks"].values()]


def _reached(project: Project, places: list[tuple[str, int]]) -> list[list[object]]:
    output = project.run("exec", "-T", "target_app", "python", "-c", REACH, json.dumps(places))
    found: list[list[object]] = json.loads(output)
    return found


def test_a_compromised_target_blocks_no_store(project: Project) -> None:
    """Redis users that need no password can neither start an endless script nor run admin commands."""
    words = ("exec", "-T", "target_app", "python", "-c", ORDERS, json.dumps(USERS), json.dumps(ORDERED))
    said = json.loads(project.run(*words))
    assert {user: list(answers) for user, answers in said.items()} == {
        user: ["-NOPERM"] if user != "default" else ["-NOAUTH"] for user in USERS
    }
    assert _reached(project, [("redis", 6379)]) == [["redis", 6379]]


def test_without_the_key_nobody_is_answered_at_the_link(project: Project) -> None:
    """In the master's own network, a peer with only the public keys, or with none, can join the plain stack only."""
    plain = "secrets.yml" not in project.environment["COMPOSE_FILE"]
    keys = Keys.of((ROOT / "secrets" / "link_key").read_text() if not plain else "nothing secret here " * 2)
    known = {"master": keys.master.public, "worker": keys.worker.public, "secret": keys.worker.secret}
    words = json.dumps({name: key.decode() for name, key in known.items()})
    (image,) = {one["Image"] for one in project.containers() if "locust_worker" in one["Name"]}
    network = f"{project.name}_edge"
    answered = json.loads(docker("run", "--rm", "--network", network, image, "python", "-c", MESSAGES, words))
    assert answered == (["in the clear"] if plain else ["with the key"])


def test_prometheus_shows_no_page_its_figures_and_is_not_ended(project: Project) -> None:
    """A web page may send queries, even ones that need much memory, but may not read the responses."""
    url = f"http://127.0.0.1:{project.port('prometheus', 9090)}/api/v1"
    asked = urllib.request.Request(f"{url}/query?query=up", headers={"Origin": "http://evil.example"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None

    def status(path: str, form: bytes | None = None) -> int:
        try:
            with urllib.request.urlopen(f"{url}{path}", form, timeout=100) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        large = set(pool.map(status, [f"/query?{urllib.parse.urlencode({'query': LARGE})}"] * 8))
    assert large <= {422, 503}  # too many samples, or a timeout
    for order in ("/admin/tsdb/delete_series?match[]=up", "/admin/tsdb/snapshot", "/write", "/../../-/reload"):
        assert status(order, b"") >= 400
    (state,) = (one["State"] for one in project.containers() if "prometheus" in one["Name"])
    assert (state["OOMKilled"], state["Status"], status("/query?query=up")) == (False, "running", 200)


@only_with_secrets
def test_no_secret_is_where_others_look(project: Project) -> None:
    """Engine metadata, logs and image layers contain no secret; each container has only its own."""
    secrets = {file.name: file.read_text() for file in (ROOT / "secrets").iterdir() if file.is_file()}
    held: dict[str, set[str]] = {}
    for container in project.containers():
        logs = subprocess.run(["docker", "logs", container["Id"]], capture_output=True, text=True, check=True)
        shown = f"{container}{logs.stdout}{logs.stderr}{docker('history', '--no-trunc', container['Image'])}"
        assert [name for name, secret in secrets.items() if secret in shown] == []
        mounts = {
            mount["Destination"]: mount["RW"] for mount in container["Mounts"] if "secrets" in mount["Destination"]
        }
        assert not any(mounts.values())
        held[container["Config"]["Labels"]["com.docker.compose.service"]] = {name.rpartition("/")[2] for name in mounts}
    assert {service: names for service, names in held.items() if names} == {
        "locust_master": {"link_key", "web_password"},
        "locust_worker": {"link_key"},
    }


@only_with_secrets
def test_nothing_is_shown_without_the_password(project: Project) -> None:
    """The published web UI shows nothing without a session, or with the cookie alone."""
    project.log_in((ROOT / "secrets" / "web_password").read_text())
    assert project.get("locust_master", 8089, "/stats/requests")["state"]
    connection = http.client.HTTPConnection("127.0.0.1", project.port("locust_master", 8089), timeout=30)
    statuses = []
    for headers in ({}, {"Cookie": project.cookie}):
        for method, path in (
            ("GET", "/"),
            ("GET", "/stats/requests"),
            ("GET", "/logs"),
            ("POST", "/swarm"),
            ("POST", "/stop"),
        ):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    connection.close()
    assert set(statuses) == {401}


def _ports(project: Project) -> set[int]:
    """Return every port that a service of the stack listens on."""
    found = {5557}
    for container in project.containers():
        found |= {int(port.partition("/")[0]) for port in container["Config"].get("ExposedPorts") or {}}
    return found


def test_a_stranger_on_the_host_reaches_nothing(project: Project) -> None:
    """An unrelated container reaches neither the stack's addresses nor the ports published on 127.0.0.1."""
    containers = {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in project.containers()}
    addresses = {address for service in containers for address in _addresses(project, service)}
    places: list[tuple[str, int]] = [(address, port) for address in addresses for port in _ports(project)]
    (bridge,) = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"]
    # Not every engine reports the gateway that it chose: it is the first address.
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
    """It reaches it neither by address nor by name; it does reach its own store, so the attempt is a real one."""
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
    """A server beyond this machine, like the internet: it has no route to the containers' own addresses."""
    needed("root, and the command ip", there=os.getuid() == 0 and shutil.which("ip") is not None)
    name, place = f"lt{uuid.uuid4().hex[:8]}", ("198.51.100.2", 8000)  # an unassigned address (RFC 5737)
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
    """Master, workers, Prometheus and Grafana are on it; the service under test and its store have no way out."""
    image = next(one["Image"] for one in project.containers() if "target_app" in one["Name"])
    look = [image, "python", "-c", REACH, json.dumps([outside])]
    reached = {
        network: json.loads(docker("run", "--rm", "--network", f"{project.name}_{network}", *look))
        for network in ("edge", "data", "target", "store")
    }
    assert reached == {"edge": [list(outside)], "data": [], "target": [], "store": []}


def test_slow_clients_of_the_exporter_are_let_go(attack: Future[None]) -> None:
    """Clients fill all its connections with a byte now and then, and reconnect: /healthz responds all the time."""
    attack.result()


def test_a_foreign_name_is_no_way_to_the_exporter(project: Project) -> None:
    """A page whose domain resolves to this machine cannot read metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", project.port("locust_master", 9646), timeout=30)
    statuses = {}
    for host in ("127.0.0.1", "evil.example", "127.0.0.1.evil.example"):
        connection.request("GET", "/metrics", headers={"Host": host})
        answer = connection.getresponse()
        statuses[host] = (answer.status, b"loadtest_" in answer.read())
    connection.close()
    assert statuses == {"127.0.0.1": (200, True), "evil.example": (421, False), "127.0.0.1.evil.example": (421, False)}

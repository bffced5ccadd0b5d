"""The replacements in Locust's HTTP clients, with each replacement and without it."""

import re
import socket
from collections import Counter
from functools import partial
from typing import Any

import gevent.socket
import pytest
from gevent.pool import Group
from locust import FastHttpUser, HttpUser, SequentialTaskSet, constant, task
from locust.env import Environment
from locust.exception import StopUser
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from loadtest.measuring.measurements import Measurements
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.tallies import CONNECTION, ELSEWHERE, LOOKUP, NOWHERE, REDIRECT, RETRY, SIZE, UNKNOWN
from loadtest.settings import hosts
from tests.http_harness import Peer, ScriptedServer, always, answering, ok

pytestmark = pytest.mark.usefixtures("locust")
BOTH = pytest.mark.parametrize("base", [HttpUser, FastHttpUser])


def counted(base: type, host: str, work: Any, **attributes: Any) -> Measurements:
    """The record of a user that does some work once."""

    def once(user: Any) -> None:
        work(user)
        raise StopUser

    return lived(type("Stock", (base,), {"host": host, "wait_time": constant(0), "tasks": [once], **attributes}))


def lived(user_class: Any) -> Measurements:
    """The record of a user's whole life."""
    environment = Environment(user_classes=[user_class])
    environment.create_local_runner()
    recorder = Recorder.of(environment)
    user = user_class(environment)
    user.start(Group())
    user.greenlet.join(timeout=10)
    environment.runner.quit()
    pool = user.client if isinstance(user, HttpUser) else user.client.client.clientpool
    pool.close()  # left to the garbage collection, its sockets would warn in another test
    return recorder.take()


def times(taken: Measurements) -> Counter[str]:
    """How often each kind of tally was counted, except for the sizes of responses."""
    found: Counter[str] = Counter()
    for tally in taken.tallies:
        if tally.kind != SIZE:
            found[tally.kind] += tally.times
    return found


@BOTH
def test_a_caught_response_that_nobody_decides_on_counts_by_its_status(base: type) -> None:
    """Never used in a with-block, or left by an exception, it still was a request."""

    def work(user: Any) -> None:
        user.client.get("/good", catch_response=True)
        user.client.get("/bad", catch_response=True)
        with pytest.raises(KeyError), user.client.get("/raises", catch_response=True):
            raise KeyError("price")
        with user.client.get("/decided", catch_response=True) as response:
            response.failure("no")

    responses = [ok(), ok(status="500 Internal Server Error"), ok(), ok()]
    with ScriptedServer(answering(*responses)) as server:
        taken = counted(base, server.url, work)
    results = {
        key.name: (int(requests), int(failures))
        for key, requests, failures in zip(taken.series, taken.requests, taken.failures, strict=True)
    }
    assert results == {"/good": (1, 0), "/bad": (1, 1), "/raises": (1, 0), "/decided": (1, 1)}


@BOTH
def test_a_traced_request_has_a_header_and_an_id_in_the_record(base: type) -> None:
    """This replaces HttpSession.request: the scenario's own header is kept, and failures are distinguished."""
    heads: list[bytes] = []

    def answer(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            heads.append(head)
            peer.send(ok(status="500 Internal Server Error") if b"/bad" in head else ok())

    def work(user: Any) -> None:
        Recorder.of(user.environment).sampler.ratio = 1.0
        user.client.get("/good")
        user.client.get("/own", headers={"Traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
        user.client.get("/bad")

    with ScriptedServer(answer) as server:
        taken = counted(base, server.url, work)
    sent = [re.findall(rb"(?i)\r\ntraceparent: 00-([0-9a-f]{32})-[0-9a-f]{16}-01(?=\r\n|$)", head) for head in heads]
    kept = {taken.series[series].name: (trace.trace_id, trace.error_class) for series, trace in taken.traces}
    assert [len(found) for found in sent] == [1, 1, 1]
    ids = [found[0].decode() for found in sent]
    assert kept == {"/good": (ids[0], ""), "/own": ("ab" * 16, ""), "/bad": (ids[2], "status_5xx")}


def close_each(peer: Peer) -> None:
    """Respond once, and close the connection."""
    peer.read_request()
    peer.send(ok(b"{}", "Connection: close"))


@BOTH
def test_connections_and_look_ups_are_counted(base: type) -> None:
    """There is one of each per request whose connection was closed; an address needs no look-up.

    This replaces ConnectionPool._create_socket and replaces ConnectionPool._resolve of a FastHttpUser, and it
    replaces HTTPConnection._new_conn and replaces connection.socket of an HttpUser.
    """

    def work(user: Any) -> None:
        for _ in range(3):
            user.client.get("/", name="named")
            user.client.get(user.host.replace("localhost", "127.0.0.1"), name="address")

    with ScriptedServer(close_each) as server:
        taken = counted(base, server.url.replace("127.0.0.1", "localhost"), work)
    assert times(taken) == {CONNECTION: 6, LOOKUP: 3, ELSEWHERE: 3}
    assert all(tally.seconds > 0 for tally in taken.tallies if tally.kind not in {ELSEWHERE, SIZE})


@BOTH
def test_redirects_are_counted_by_their_place_and_answers_that_lead_nowhere(base: type) -> None:
    """An unsolicited 304 and a redirect to itself lead nowhere; a 304 to a conditional request is a response."""

    def work(user: Any) -> None:
        user.client.get("/moved")
        user.client.get("/cached")
        user.client.get("/asked", headers={"If-None-Match": '"1"'})
        user.client.get("/itself", allow_redirects=False)
        user.client.get("/elsewhere", allow_redirects=False)

    moved, unchanged = ok(b"", "Location: /there?a=1", status="302 Found"), ok(b"", status="304 Not Modified")
    itself = ok(b"", "Location: /itself", status="302 Found")
    with ScriptedServer(answering(moved, ok(), unchanged, unchanged, itself, moved)) as server:
        taken = counted(base, server.url, work)
    beside = {
        (taken.series[tally.series].name, tally.kind, tally.detail) for tally in taken.tallies if tally.kind != SIZE
    }
    assert beside - {("/moved", CONNECTION, "")} == {
        ("/moved", REDIRECT, "/there"),
        ("/cached", NOWHERE, "304"),
        ("/itself", NOWHERE, "302"),
    }


@BOTH
def test_sizes_of_successes_are_noted_where_the_scenario_does_not_look_at_them(base: type) -> None:
    """They hint at errors reported as success; a HEAD, a 204 and a failure have no such size."""

    def work(user: Any) -> None:
        for _ in range(2):
            user.client.get("/page", name="page")
        with user.client.get("/looked-at", name="page", catch_response=True) as response:
            response.success()
        user.client.get("/none", name="page")
        user.client.head("/page", name="page")
        user.client.get("/failed", name="page")

    none = ok(b"", status="204 No Content")
    failed = ok(b"x" * 65_536, status="500 Internal Server Error")
    bodies = ok(b"x" * 8_000), ok(b"sorry"), ok(b"x" * 100_000)
    with ScriptedServer(answering(*bodies, none, ok(b"", "Content-Length: 9"), failed)) as server:
        taken = counted(base, server.url, work)
    assert {tally.detail for tally in taken.tallies if tally.kind == SIZE} == {"4", "4096"}


@BOTH
def test_what_is_elsewhere_redirects_no_user_of_locust_to_this_machine(
    base: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Local services such as the web UI trust local clients; a name plays a remote service.

    This replaces HttpSession.rebuild_auth, and it replaces CompatRequest.redirect.
    """
    hosts.open_allowed(None)
    _resolve_here(monkeypatch)
    reached: list[bytes] = []

    def web_ui(peer: Peer) -> None:
        reached.append(peer.read_request()[0])
        peer.send(ok())

    def work(user: Any) -> None:
        user.client.post("/start", data="x")
        user.client.get("/own")  # the next request is one of its own again

    with ScriptedServer(web_ui) as inside:
        moved = ok(b"", f"Location: {inside.url}/stop", status="307 Temporary Redirect")
        with ScriptedServer(answering(moved, ok())) as server:
            taken = counted(base, server.url.replace("127.0.0.1", "elsewhere.invalid"), work)
    assert reached == []
    assert (int(taken.requests.sum()), int(taken.failures.sum())) == (2, 1)


@BOTH
def test_the_service_under_test_redirects_no_user_of_locust_to_another_host(
    base: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would choose who is loaded; LOADTEST_ALLOWED_HOSTS does. A redirect that is not followed is a response.

    This replaces HttpSession.resolve_redirects.
    """
    _resolve_here(monkeypatch)
    seen: list[bytes] = []

    def other(peer: Peer) -> None:
        seen.append(peer.read_request()[0])
        peer.send(ok())

    def work(user: Any) -> None:
        user.client.get("/away", allow_redirects=False)
        user.client.get("/away")
        user.client.get("/own")

    with ScriptedServer(other) as place:
        moved = ok(b"", f"Location: {place.url.replace('127.0.0.1', 'elsewhere.invalid')}/", status="302 Found")
        for allowed, reached, failed in (("other.example", 0, ["redirect"]), ("elsewhere.invalid", 1, [])):
            monkeypatch.setattr(hosts, "_allowed", hosts.Targets(allowed))
            with ScriptedServer(answering(moved, moved, ok())) as server:
                taken = counted(base, server.url, work)
            errors = [error.error_class for error in taken.errors]
            assert (len(seen), int(taken.requests.sum()), errors) == (reached, 3, failed)


def _resolve_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (socket, gevent.socket):
        monkeypatch.setattr(module, "getaddrinfo", partial(_resolved, module.getaddrinfo))


_HERE = {"elsewhere.invalid", b"elsewhere.invalid"}


def _resolved(resolve: Any, host: Any, *more: Any, **named: Any) -> Any:
    return resolve("127.0.0.1" if host in _HERE else host, *more, **named)


@pytest.mark.parametrize("max_retries", [0, 2])
def test_requests_that_a_fast_user_sends_again_are_counted(max_retries: int) -> None:
    """A request is repeated if its connection closes without a response; a redirect is not a repetition.

    This replaces ConnectionPool.get_socket, and it replaces LocustUserAgent._urlopen.
    """

    def every_other(peer: Peer) -> None:
        head = peer.read_request()[0]
        if peer.number % 2 == 0:
            moved = ok(b"", "Location: /there", "Connection: close", status="302 Found")
            peer.send(moved if head.startswith(b"GET / ") else ok(b"{}", "Connection: close"))

    with ScriptedServer(every_other) as server:
        taken = counted(FastHttpUser, server.url, lambda user: user.client.get("/"), max_retries=max_retries)
    assert (times(taken)[RETRY], times(taken)[REDIRECT]) == (2, 1)
    assert (int(taken.requests.sum()), int(taken.failures.sum())) == (1, 0)


def test_requests_that_an_adapter_sends_again_are_counted() -> None:
    """An HttpUser may have adapters that retry by status (replaces Retry.increment)."""

    def work(user: Any) -> None:
        user.client.mount("http://", HTTPAdapter(max_retries=Retry(total=3, status_forcelist=[503])))
        user.client.get("/")

    with ScriptedServer(answering(ok(status="503 Service Unavailable"), ok())) as server:
        taken = counted(HttpUser, server.url, work)
    assert times(taken)[RETRY] == int(taken.requests.sum()) == 1
    assert int(taken.failures.sum()) == 0


def test_of_a_client_that_does_not_tell_nothing_is_known() -> None:
    """Requests of the scenario's own client are distinguished from those of Locust's clients."""

    def work(user: Any) -> None:
        user.client.get("/")
        user.environment.events.request.fire(
            request_type="grpc", name="call", response_time=1.0, response_length=0, exception=None, context={}
        )

    with ScriptedServer(always(ok())) as server:
        taken = counted(HttpUser, server.url, work)
    assert [taken.series[tally.series].name for tally in taken.tallies if tally.kind == UNKNOWN] == ["call"]


def test_tasks_in_locusts_own_loop_are_counted_and_those_without_a_request() -> None:
    """A task that leaves its TaskSet is not idle (replaces TaskSet.execute_next_task)."""

    class Journey(SequentialTaskSet):
        @task
        def look(self) -> None:
            self.client.get("/")

        @task
        def think(self) -> None:
            pass

        @task
        def leave(self) -> None:
            self.user.rounds += 1
            if self.user.rounds == 2:
                raise StopUser
            self.interrupt()

    with ScriptedServer(always(ok())) as server:
        attributes = {"host": server.url, "wait_time": constant(0), "tasks": [Journey], "rounds": 0}
        taken = lived(type("Visitor", (HttpUser,), attributes))
    assert {row.task.rpartition(".")[2]: (row.begun, row.idle) for row in taken.tasks} == {
        "look": (2, 0),
        "think": (2, 2),
        "leave": (2, 0),
    }

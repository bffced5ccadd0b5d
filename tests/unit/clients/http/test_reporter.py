"""Reporter: the samples of a request, its outcome, and the events for listeners."""

import time

import gevent
import pytest
from locust import log
from locust.exception import (
    InterruptTaskSet,
    LocustError,
    RescheduleTask,
    RescheduleTaskImmediately,
    ResponseError,
    StopTest,
    StopUser,
)

from loadtest.clients.http.errors import InvalidRequestError, StatusError
from tests.http_harness import Peer, ScriptedServer, always, answering, counted, counts, error_classes, ok, running_user

KEPT = ok(b'{"a":1}', "Content-Type: application/json")


def test_requests_are_recorded_under_the_scenario():
    """The class attribute scenario names the series; the default is the class's name."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url, scenario="documents") as user:
        user.client.get("/")
        assert {key.scenario for key in counted(user.recorder).series} == {"documents"}
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.client.get("/")
        assert {key.scenario for key in counted(user.recorder).series} == {"TestUser"}


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("options", [{}, {"timeout": 5}], ids=["fast", "general"])
def test_first_request_of_an_iteration_takes_the_intended_start(connected, options):
    """The first request's response time starts at the intended start, the second's at its own send."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        if connected:
            user.client.get("/")
            counted(user.recorder)
        user.intended_start_s = time.perf_counter() - 5
        late = user.client.get("/", **options)
        assert user.intended_start_s is None
        on_time = user.client.get("/")
        assert 5 < late.end_s - late.intended_s < 7
        assert on_time.sent_s == on_time.intended_s
        taken = counted(user.recorder)
        assert (taken.schedule_lag.lengths.sum(), int(sum(taken.requests))) == (1, 2)


@pytest.mark.parametrize("status", [400, 404, 500, 503, 600])
def test_failing_status_is_counted_by_class_and_raised_on_demand(status):
    """A status from 400 on makes the request a failure of its class, but the call does not raise."""
    with ScriptedServer(always(ok(b"no", status=f"{status} X"))) as server, running_user(server.url) as user:
        response = user.client.get("/")
        assert (status, False, "no") == (response.status_code, response.ok, response.text)
        with pytest.raises(StatusError, match=str(status)):
            response.raise_for_status()
        expected = {4: "status_4xx", 5: "status_5xx"}.get(status // 100, "status_other")
        assert error_classes(user) == {expected: 1}


def test_with_block_decides_the_outcome():
    """success() and failure() override the status; without a decision the status counts."""
    with ScriptedServer(always(ok(status="404 N"))) as server, running_user(server.url) as user:
        with user.client.get("/", catch_response=True) as response:
            response.success()
        assert counts(user) == (1, 0)
        with user.client.get("/", catch_response=True) as response:
            response.failure("body is wrong")
        assert error_classes(user) == {"assertion": 1}
        with user.client.get("/", catch_response=True):
            pass
        assert error_classes(user) == {"status_4xx": 1}
        with user.client.get("/", catch_response=True) as response:
            response.failure(ValueError("x"))
        assert error_classes(user) == {"assertion": 1}


def test_with_block_counts_at_its_end_only():
    """Nothing is recorded before the block ends; without a block, a response counts when it is no longer referenced."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        with user.client.get("/", catch_response=True):
            assert counts(user) == (0, 0)
        assert counts(user) == (1, 0)
        held = user.client.get("/", catch_response=True)
        assert counts(user) == (0, 0)
        del held
        assert counts(user) == (1, 0)


def test_exception_in_a_with_block_counts_and_goes_on():
    """The scenario's own exception fails the request and is raised; Locust's control exceptions do not fail it."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        with pytest.raises(KeyError), user.client.get("/", catch_response=True):
            raise KeyError("k")
        assert error_classes(user) == {"exception": 1}
        with pytest.raises(StopUser), user.client.get("/", catch_response=True):
            raise StopUser
        assert counts(user) == (1, 0)


def test_response_error_in_a_with_block_fails_the_request_and_goes_no_further():
    """Locust's ResponseError lets a scenario fail a request from deep within its block."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        with user.client.get("/", catch_response=True):
            raise ResponseError("wrong")
        assert error_classes(user) == {"assertion": 1}


def test_deciding_outside_a_with_block_is_refused():
    """success() and failure() without catch_response or outside the block raise an error that says what is missing."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        response = user.client.get("/")
        with pytest.raises(LocustError, match="catch_response"):
            response.success()
        with pytest.raises(LocustError, match="catch_response"):
            response.failure("x")
        with pytest.raises(LocustError, match="catch_response"):
            user.client.get("/", catch_response=True).failure("x")
        with pytest.raises(LocustError, match="catch_response"), user.client.get("/") as response:
            response.success()


def test_rest_parses_json_and_fails_what_is_none():
    """rest() puts the parsed body into js, requests JSON, and counts a failed assertion."""
    with ScriptedServer(answering(KEPT, ok(b"<html>"), KEPT, KEPT)) as server, running_user(server.url) as user:
        with user.rest("GET", "/") as response:
            assert response.js == {"a": 1}
        assert counts(user) == (1, 0)
        with user.rest("GET", "/") as response:
            pass
        assert error_classes(user) == {"assertion": 1}
        with user.rest("GET", "/") as response:
            assert response.js["a"] == 2, "a is not 2"
        assert error_classes(user) == {"assertion": 1}
        with user.rest_("GET", "/") as response:
            pass
        assert [key.name for key in counted(user.recorder).series if "_=..." in key.name] == ["/?_=..."]


def test_listeners_of_locusts_request_event_get_every_request():
    """A listener gets successes, failures and calls that could not be built, with Locust's arguments."""
    events = []
    with ScriptedServer(answering(KEPT, KEPT, ok(status="500 X"))) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(lambda **request: events.append(request))
        user.context = lambda: {"user": "u"}
        user.client.get("/a")
        user.client.get("/a", name="n", context={"k": "v"})
        user.client.get("/b")
        with pytest.raises(InvalidRequestError):
            user.client.get("/c", headers={"x": "a\nb"})
        assert [(r["request_type"], r["name"]) for r in events] == [
            ("GET", "/a"),
            ("GET", "n"),
            ("GET", "/b"),
            ("GET", "/c"),
        ]
        assert events[1]["context"] == {"user": "u", "k": "v"}
        assert events[1]["response_length"] == 7
        assert f"{server.url}/a" == events[1]["url"]
        assert 0 < events[1]["response_time"] < 5000
        assert abs(events[1]["start_time"] - time.time()) < 60
        assert events[1]["response"].json() == {"a": 1}
        assert [type(r["exception"]).__name__ for r in events] == [
            "NoneType",
            "NoneType",
            "StatusError",
            "InvalidRequestError",
        ]
        assert counts(user) == (4, 2)


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize(
    "kind",
    [StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet],
    ids=lambda kind: kind.__name__,
)
def test_a_listener_may_steer_the_user(kind, caught):
    """Locust's control exceptions pass through from a listener, on the fast path and the general one, counted once."""

    def listener(**_: object) -> None:
        raise kind

    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(listener)
        for _ in range(2):
            with pytest.raises(kind):
                if caught:
                    with user.client.get("/", catch_response=True):
                        pass
                else:
                    user.client.get("/")
        assert counts(user) == (2, 0)
        assert server.connections == 1


def test_failing_listener_does_not_fail_the_request(caplog, monkeypatch):
    """The exception is logged, and the call returns; it is in the exit code of the process, as with Locust."""
    monkeypatch.setattr(log, "unhandled_greenlet_exception", False)

    def listener(**_: object) -> None:
        raise RuntimeError("listener broke")

    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(listener)
        assert user.client.get("/").ok
        assert user.client.get("/").ok
    assert "listener broke" in caplog.text
    assert log.unhandled_greenlet_exception is True


def answering_then_hanging(answers: int):
    """A script that sends this many responses and leaves the next request without one."""

    def script(peer: Peer) -> None:
        for _ in range(answers):
            peer.read_request()
            peer.send(KEPT)
        peer.read_request()
        gevent.sleep(5)

    return script


@pytest.mark.parametrize("answers", [0, 1])
def test_a_request_whose_user_is_stopped_is_unfinished(answers: int):
    """Unanswered when its user is killed, it counts with its age, on a new connection and on a kept one."""
    seen = []
    with ScriptedServer(answering_then_hanging(answers)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(lambda exception, **_: seen.append(repr(exception)))
        victim = gevent.spawn(lambda: [user.client.get("/") for _ in range(answers + 1)])
        gevent.sleep(0.3)
        victim.kill()
        taken = counted(user.recorder)
        assert int(taken.requests.sum()) == answers + 1
        assert [(error.error_class, error.occurrences) for error in taken.errors] == [("unfinished", 1)]
        assert 0.2 < taken.response_time.summaries.max() / 1e9 < 2
        assert seen[-1] == "UnfinishedError('no answer yet when the user was stopped')"


def test_a_limit_of_the_scenario_is_a_timeout():
    """A gevent.Timeout around a call is the scenario's own time limit, not a stop of its user."""
    with ScriptedServer(answering_then_hanging(0)) as server, running_user(server.url) as user:
        with gevent.Timeout(0.1, False):
            user.client.get("/")
        assert error_classes(user) == {"timeout_total": 1}


def test_the_first_failures_of_a_kind_leave_request_and_answer():
    """Secrets, even in the user's cookies, are left out; later failures of the kind are counted, until a run begins."""
    secret = "s3cret-s3cret"  # noqa: S105
    refused = b"HTTP/1.1 500 Oops\r\nSet-Cookie: sid=%b\r\nContent-Length: 17\r\n\r\nsid %b" % ((secret.encode(),) * 2)
    with ScriptedServer(always(refused)) as server, running_user(server.url) as user:
        for _ in range(2):
            user.client.post("/buy", json={"product": "keyboard", "password": secret}, name="buy")
        (first,) = counted(user.recorder).errors
        user.client.get("/buy", name="buy")
        user.client.post("/buy", name="buy")
        kept = {error.evidence is None for error in counted(user.recorder).errors}
        user.recorder.forget_evidence()
        user.client.post("/buy", name="buy")
        (again,) = counted(user.recorder).errors
    assert first.occurrences == 2
    assert first.evidence.request.startswith(f"POST {server.url}/buy\n")
    assert first.evidence.request.endswith('{"product": "keyboard", "password": "***"}')
    assert first.evidence.answer == "500 Oops\nset-cookie: ***\ncontent-length: 17\n\nsid ***"
    assert kept == {True, False}
    assert again.evidence is not None


def test_a_request_without_an_answer_leaves_what_was_sent():
    """The server closes without a response."""
    with ScriptedServer(lambda peer: peer.read_request() and None) as server, running_user(server.url) as user:
        user.client.post("/buy", data="a")
        (error,) = counted(user.recorder).errors
    assert (error.evidence.request.splitlines()[0], error.evidence.answer) == (f"POST {server.url}/buy", "")

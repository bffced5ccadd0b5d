"""The cache of a route: the head expected of the next response, and how much to receive."""

from loadtest.clients.http.routes import HttpRoute
from loadtest.clients.http.sender import Sender
from tests.http_harness import ScriptedServer, answering, counts, ok, running_user


def _counted(monkeypatch, kind, name):
    """The calls of a method from now on, each as its arguments."""
    calls, original = [], getattr(kind, name)

    def counting(*args, **options):
        calls.append(args)
        return original(*args, **options)

    monkeypatch.setattr(kind, name, counting)
    return calls


def test_a_head_that_comes_again_is_found_by_its_bytes(monkeypatch):
    """A Date stays the same for a second: the pattern is used for two responses only; each has its own fields."""
    dates = [f"Date: Sat, 28 Nov 2026 10:00:0{second} GMT" for second in range(3) for _ in range(20)]
    with ScriptedServer(answering(*(ok(b"{}", date) for date in dates))) as server, running_user(server.url) as user:
        calls = _counted(monkeypatch, HttpRoute, "find_head")
        responses = [user.client.get("/") for _ in dates]
        assert [f"Date: {response.headers['Date']}" for response in responses] == dates
        assert counts(user) == (60, 0)
        assert len(calls) <= 3 * 2 + 2  # two per second, and two until there is a pattern


def test_a_head_that_varies_is_not_made_anew():
    """With an id in each response, the route keeps one head, from which each response reads its own fields."""
    ids = [f"X-Request-Id: {number:04}" for number in range(30)]
    with ScriptedServer(answering(*(ok(b"{}", one) for one in ids))) as server, running_user(server.url) as user:
        responses = [user.client.get("/") for _ in ids[:5]]
        (route,) = user.client._gets.values()
        head = route.head
        responses += [user.client.get("/") for _ in ids[5:]]
        assert route.head is head
        assert [f"X-Request-Id: {response.headers['X-Request-Id']}" for response in responses] == ids


def test_responses_that_vary_in_length_are_received_at_once(monkeypatch):
    """Of long responses after a short one, only the first needs a second read of the stream."""
    bodies = [b"x" * (100 if number % 2 else 700) for number in range(40)]
    with ScriptedServer(answering(*map(ok, bodies))) as server, running_user(server.url) as user:
        user.client.get("/")
        calls = _counted(monkeypatch, Sender, "_send_generally")
        assert [user.client.get("/").content for _ in bodies[1:]] == bodies[1:]
        (route,) = user.client._gets.values()
        assert (route.receive_bytes, len(calls)) == (960, 1)

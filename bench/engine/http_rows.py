"""The HTTP comparisons: this product's HttpUser, Locust's two, and generators in other languages."""

import sys
from pathlib import Path

from bench.engine import nginx_server
from bench.engine.measuring import Comparison, Subject, tool

_FOLDER = Path(__file__).parent
_LOCUST = (sys.executable, "-m", "locust", "-f", str(_FOLDER / "http_users.py"), "--headless", "--only-summary")
_MANY = 1000


def locust_subject(base: str, name: str, work: str, users: int = 64) -> Subject:
    """Return a run of Locust's real command line with users of one base class and one kind of work."""
    return Subject(
        name=name,
        command=(*_LOCUST, "-u", str(users), "-r", str(users), "-t", "10m"),
        environment={"BENCH_BASE": base, "BENCH_WORK": work, "LOCUST_SKIP_UPDATE_CHECK": "1"},
        is_ours=base == "ours",
        warm_up_s=6.0 if users >= _MANY else 2.5,
    )


def _ours(work: str, users: int = 64) -> Subject:
    return locust_subject("ours", "HttpUser of this product", work, users)


def _fast(work: str, users: int = 64) -> Subject:
    return locust_subject("fast", "Locust FastHttpUser", work, users)


_URL = "{{BENCH_URL}}/{work}"
_ATTACK = "attack -rate=0 -max-workers=64 -workers=64 -connections=64 -duration=600s > /dev/null"
_FIXED = {
    "wrk": ("{wrk}", "-t1", "-c64", "-d600", _URL),
    "hey": ("{hey}", "-c", "64", "-z", "600s", _URL),
    "oha": ("{oha}", "-c", "64", "-z", "600s", "--no-tui", _URL),
    "vegeta": ("sh", "-c", f"echo GET {_URL} | {{vegeta}} {_ATTACK}"),
    "autocannon": ("{autocannon}", "-c", "64", "-d", "600", _URL),
    "strobengine": ("{strobengine}", "load", _URL, "-c", "64", "-d", "600"),
    "k9, plan": ("{k9}", "run", str(_FOLDER / "k9_plan.py"), "-u", "64", "-d", "600s"),
}
"""The peers that repeat one request."""
_SCRIPTED = {
    "k9, Python script": ("{k9}", "run", str(_FOLDER / "k9_script.py"), "-u", "64", "-d", "600s"),
    "k6": ("{k6}", "run", "--quiet", "--vus", "64", "--duration", "600s", str(_FOLDER / "k6_script.js")),
    "artillery": ("{artillery}", "run", "--quiet", str(_FOLDER / "artillery_script.yml")),
}
"""The peers that run scripts."""

_BARE = Subject("bare gevent loop: send, wait, receive", (sys.executable, str(_FOLDER / "bare_loop.py")))


def _peers(work: str, *names: str) -> list[Subject]:
    """Return the installed generators with these names; by default all."""
    found = []
    for name, command in {**_FIXED, **_SCRIPTED}.items():
        program = name.partition(",")[0]
        path = tool(program)
        if path is not None and (not names or name in names):
            parts = tuple(part.format(**{program: path, "work": work}) for part in command)
            found.append(Subject(name, parts, {"BENCH_WORK": work}))
    return found


def comparisons() -> list[Comparison]:
    """Return every HTTP comparison, in the tables' order."""
    fast = "Locust FastHttpUser"
    floor, loose = {fast: (5.0, 7.0)}, "64 users that send one request after another; nginx on another core."
    small = Comparison(
        "small-get",
        "Small GET: a JSON body of 68 bytes",
        "requests",
        [_ours("small"), _fast("small"), locust_subject("stock", "Locust HttpUser", "small"), _BARE, *_peers("small")],
        nginx_server.running,
        {fast: (6.0, 8.0), "Locust HttpUser": (25.0, 35.0), "wrk": (0.5, 0.7), "k6": (1.0, 1.0)},
        "64 users or connections. wrk, hey, oha, vegeta, autocannon, strobengine and k9's plan repeat one fixed "
        "request; the others run scripts. The bare loop ignores the responses and records nothing.",
    )
    works = [
        ("large-get", "GET of 14 kB", "large", floor, loose),
        ("post-json", "POST with a JSON body", "post", floor, loose),
        ("headers-cookie", "GET with headers that vary and a cookie", "headers", floor, loose),
        (
            "tls",
            "Small GET over TLS, certificate verified",
            "tls",
            {fast: (3.0, 3.0)},
            "64 users, each with one keep-alive connection.",
        ),
    ]
    paired = [
        Comparison(key, title, "requests", [_ours(work), _fast(work)], nginx_server.running, floors, note)
        for key, title, work, floors, note in works
    ]
    varying = Comparison(
        "varying-head",
        "Small GET with a different response head each time",
        "requests",
        [_ours("varying"), _fast("varying"), *_peers("varying", *_FIXED, "k9, Python script", "k6")],
        nginx_server.running,
        {fast: (5.0, 7.0)},
        "Each head has its own request id, like those of real services.",
    )
    journey = Comparison(
        "journey",
        "A journey of five requests with checks",
        "requests",
        [
            _ours("journey"),
            _fast("journey"),
            locust_subject("stock", "Locust HttpUser", "journey"),
            *_peers("journey", "k9, Python script", "k6"),
        ],
        nginx_server.running,
        {},
        "64 users without think time: a header of the user's own, JSON sent and parsed, a value taken from one "
        "response into the next request, each response checked, response heads that vary.",
    )
    many = Comparison(
        "many-users",
        "Small GET by 1,000 users",
        "requests",
        [_ours("small", _MANY), _fast("small", _MANY)],
        nginx_server.running,
        floor,
        "1,000 users, each with its own connection.",
    )
    return [small, varying, journey, *paired, many]

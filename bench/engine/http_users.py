"""The users of the HTTP comparisons, a locustfile. BENCH_BASE chooses the base class, BENCH_WORK the task.

The task is identical for every base class, since porting means changing only the base class.
"""

import os
import ssl
from itertools import count

from locust import FastHttpUser, HttpUser, constant, events, task

from loadtest.clients.http import HttpUser as OurHttpUser
from loadtest.swarm import session

_BASES = {"ours": OurHttpUser, "fast": FastHttpUser, "stock": HttpUser}
_WORK = os.environ["BENCH_WORK"]
_NUMBERS = count()


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ["BENCH_CERTIFICATE"])


@events.init.add_listener
def measure(environment, **_):
    """Record our users as in a run; for Locust's, its own statistics stay in place."""
    if issubclass(BenchUser, OurHttpUser):
        session.start(environment)


class BenchUser(_BASES[os.environ["BENCH_BASE"]]):
    """A user that does one kind of work as fast as it can."""

    host = os.environ["BENCH_TLS_URL" if _WORK == "tls" else "BENCH_URL"]
    wait_time = constant(3600 if _WORK == "idle" else 0)
    if _WORK == "tls":
        insecure = False
        ssl_context_factory = staticmethod(_trusting)

    def __init__(self, environment):
        """Idle users spread over the server's addresses, each of which allows about 28,000 client ports."""
        if _WORK == "idle":
            last = next(_NUMBERS) % int(os.environ["BENCH_ADDRESSES"]) + 1
            self.host = self.host.replace("127.0.0.1", f"127.0.0.{last}")
        super().__init__(environment)

    def on_start(self):
        """Get a cookie if the work needs one."""
        if _WORK == "headers":
            self.client.get("/login")

    def small(self):
        """GET a small document."""
        self.client.get("/small")

    def large(self):
        """GET a document of 14 kB."""
        self.client.get("/large")

    def varying(self):
        """GET a small document whose response head always differs."""
        self.client.get("/varying")

    def journey(self):
        """Send five requests with a header of the user; each uses a value of the previous, checked response."""
        headers = {"Authorization": f"Bearer t-{id(self)}"}
        item = self.fetch("POST", "/small", headers, json={"name": "bench"})
        self.fetch("GET", f"/varying?id={item}", headers, name="look")
        self.fetch("GET", f"/varying?next={item}", headers, name="next")
        self.fetch("POST", "/small", headers, json={"id": item, "value": 2.5})
        self.fetch("GET", "/small", headers)

    def fetch(self, method, path, headers, **options):
        """Send a request, check its response, and return the value for the next one."""
        with self.client.request(method, path, headers=headers, catch_response=True, **options) as response:
            item = response.json()["id"]
            if item != 1:
                response.failure("another id")
        return item

    def post(self):
        """POST a JSON body."""
        self.client.post("/small", json={"id": 1, "name": "bench", "tags": ["a", "b"], "value": 2.5})

    def headers(self):
        """GET with a cookie and headers that differ each time."""
        number = next(_NUMBERS)
        self.client.get("/small", headers={"X-Request-Id": f"r-{number}", "X-Tenant": "t1", "Accept": "*/*"})

    def idle(self):
        """Send one request, then stay idle."""
        self.client.get("/small")

    tls = small
    tasks = [task(vars()[_WORK])]  # noqa: RUF012 -- Locust's form

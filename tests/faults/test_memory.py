"""The memory that a hostile target can make a worker use."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)

MAX_BYTES = 300_000_000
PROGRAM = """
import gevent.monkey
gevent.monkey.patch_all()
import resource, sys
import gevent
from gevent.pool import Group
from tests.http_harness import ScriptedServer, error_classes, running_user

HEAD = b"HTTP/1.1 200 OK\\r\\n"

def script(peer):
    path = peer.read_request()[0].split()[1]
    head = {b"/announced": b"Content-Length: 5000000000\\r\\n\\r\\n", b"/endless": b"\\r\\n",
            b"/chunked": b"Transfer-Encoding: chunked\\r\\n\\r\\n", b"/head": b"X: "}[path]
    peer.send(HEAD + head)
    block = b"10000\\r\\n" + b"x" * 65536 + b"\\r\\n" if path == b"/chunked" else b"x" * 65536
    for _ in range(80_000):
        peer.send(block)

with ScriptedServer(script) as server:
    for path in ("/announced", "/endless", "/chunked", "/head"):
        with running_user(server.url) as user:
            user.client.get(path)
            print(path, error_classes(user))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_five_gigabytes_and_endless_heads_stay_within_bounds() -> None:
    """5 GB announced, in chunks or without end, and a head without end: each is too_large, below 300 MB of memory."""
    program = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    *classes, peak_bytes = done.stdout.splitlines() or [done.stderr]
    assert [line.split("'")[1] for line in classes] == ["too_large"] * 4, done.stderr
    assert int(peak_bytes) < MAX_BYTES

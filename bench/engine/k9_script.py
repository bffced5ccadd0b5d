"""The work of the HTTP comparisons for k9's Python scripts; BENCH_WORK chooses it."""

import os
from itertools import count

import k9

_BASE = os.environ["BENCH_URL"]
_WORK = os.environ["BENCH_WORK"]
_NUMBERS = count()


def _fetched(response):
    body = response.json()
    k9.check(response, {"has an id": lambda _: body["id"] == 1})
    return body["id"]


async def _journey():
    headers = {"Authorization": f"Bearer t-{next(_NUMBERS) % 64}"}
    item = _fetched(await k9.http.post(f"{_BASE}/small", json={"name": "bench"}, headers=headers))
    _fetched(await k9.http.get(f"{_BASE}/varying?id={item}", headers=headers, tags={"name": "look"}))
    _fetched(await k9.http.get(f"{_BASE}/varying?next={item}", headers=headers, tags={"name": "next"}))
    _fetched(await k9.http.post(f"{_BASE}/small", json={"id": item, "value": 2.5}, headers=headers))
    _fetched(await k9.http.get(f"{_BASE}/small", headers=headers))


async def default():
    """Send one request, or make one journey of five."""
    if _WORK == "journey":
        await _journey()
    else:
        await k9.http.get(f"{_BASE}/{_WORK}")

"""The RedisJSON client under the real locust command: it records the same counts as Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.redis_harness import private_redis

LOCUSTFILE = Path(__file__).with_name("redisjson_locustfile.py")


def test_the_record_and_redis_agree_to_the_last_command(redis_url, tmp_path):
    """After a run of 30 users, every command's count in the record is Redis's own, failures included."""
    with private_redis(redis_url, tmp_path) as server:
        result = tmp_path / "result.json"
        locust = Path(sys.executable).with_name("locust")
        load = ["--headless", "--users", "30", "--spawn-rate", "100", "--stop-timeout", "10"]
        done = subprocess.run(
            [locust, "-f", LOCUSTFILE, "--only-summary", *load],
            env={**os.environ, "REDIS_URL": server.url, "RESULT": str(result)},
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
            check=False,
        )
        stats = server.admin.info("commandstats")
        connections = server.admin.info("stats")["total_connections_received"]
    rows = json.loads(result.read_text(encoding="utf-8"))
    calls = {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}
    requests = {name: row[0] for name, row in rows.items()}
    transactions, pipelines = requests["MULTI mixture/transaction"], requests["PIPELINE mixture/pipeline"]
    assert requests["JSON.GET mixture/documents"] + 10 * pipelines == calls["json.get"]
    assert requests["JSON.NUMINCRBY mixture/documents"] == calls["json.numincrby"]
    assert calls["json.set"] == requests["JSON.SET mixture/documents"] == 30
    assert 2 * transactions == calls["incrby"]
    assert calls["multi"] == calls["exec"] == transactions
    failing = requests["LLEN mixture/failing"]
    assert calls["llen"] == failing == int(stats["cmdstat_llen"]["failed_calls"])
    assert [failing, {"redis_wrongtype": failing}] == rows["LLEN mixture/failing"][1:]
    assert failing == sum(row[1] for row in rows.values())
    assert min(requests.values()) > 0
    assert connections <= 30 + 10, "one connection per user, besides the test's own"
    assert done.returncode == 1, "Locust's own code for a run with failed requests"

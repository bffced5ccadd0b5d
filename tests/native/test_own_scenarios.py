"""A scenario drafted from the target's own OpenAPI document, in a real run; and no secret in a run's output."""

import json
import re
import secrets
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from target_app.tokens import Tokens
from tests.redis_harness import private_redis

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

ISSUED = re.compile(rb"[\w-]{8,}\.[\w-]{6}\.[\w-]{43}")
"""How the target's tokens look."""
MADE_UP = "example-example"
"""The password that the scenario sends, from the document's schemas."""


@dataclass(frozen=True)
class OwnRun:
    """A finished run, and the secrets that must not be found in it."""

    folder: Path
    output: str
    operations: set[str]
    secrets: list[str]


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory, redis_url: str, target_url: str) -> OwnRun:
    """Draft a scenario from the document that the target serves, run it with a token, and return the run."""
    folder = tmp_path_factory.mktemp("own")
    made = [Path(sys.executable).with_name("loadtest"), "init", "own", "--openapi", f"{target_url}/openapi.json"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    with urllib.request.urlopen(f"{target_url}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    key, password = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    token = Tokens(key.encode(), 300, 300).access("~education:account:nobody")
    (folder / "token").write_text(token)
    stack = Stack(folder / "runs")
    with private_redis(redis_url, folder, "--requirepass", password) as server:
        stack.start(
            *("--scenario", str(folder / "own.py"), "--token-file", str(folder / "token")),
            *("--users", "60", "--spawn-rate", "60", "--run-time", "8s"),
            REDIS_URL=f"redis://:{password}@127.0.0.1:{server.port}/0",
            TARGET_APP_SECRET_KEY=key,
            TARGET_APP_PASSWORD_COST="10",  # noqa: S106 - scrypt's
        )
        code, output = stack.end()
    assert code in {ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY}, output  # no user is signed in: 401, 404, 409
    del paths["/api/notifications/session"]  # it switches to another protocol
    operations = {f"own/{operation['operationId']}" for item in paths.values() for operation in item.values()}
    return OwnRun(stack.run_dir(), output, operations, [key, password, token, MADE_UP])


def test_every_operation_of_the_document_is_called(own_run: OwnRun) -> None:
    """The record has requests of each operation; the target rejects none as malformed, and fails at none."""
    record = json.loads((own_run.folder / "record.json").read_text())
    assert {series["name"] for series in record["series"] if series["requests"]} == own_run.operations
    assert {series["scenario"] for series in record["series"]} == {"own"}
    refused = set(re.findall(r"status \d+", json.dumps(record)))
    assert refused <= {"status 401", "status 404", "status 409"}


def test_no_secret_is_in_what_a_run_writes(own_run: OwnRun) -> None:
    """Output, logs, reports and records contain no key, password or token, whether given or issued."""
    written = {path: path.read_bytes() for path in own_run.folder.rglob("*") if path.is_file()}
    written[Path("output")] = own_run.output.encode()
    assert len(written) > 5
    found = [
        (path.name, secret) for path, text in written.items() for secret in own_run.secrets if secret.encode() in text
    ]
    assert found == []
    assert [path.name for path, text in written.items() if ISSUED.search(text)] == []
    assert ISSUED.search(own_run.secrets[2].encode())

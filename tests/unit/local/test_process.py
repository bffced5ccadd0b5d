"""ManagedProcess: the error of an ended program, and free ports; the rest is in tests/native/test_local_stack.py."""

import socket
import sys
from pathlib import Path

import pytest

from loadtest.exceptions import StackError, UsageError
from loadtest.local.process import ManagedProcess, free_port

ERROR = "[2026-11-26 21:39:27,905] vm/ERROR/loadtest: LOCUST_TAGS=raed: no task has the tag 'raed'."
INFO = "[2026-11-26 21:39:27,910] vm/INFO/locust.runners: one (index 0) reported as ready. 1 workers connected."


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ([INFO, ERROR], f"“{ERROR}”."),
        ([ERROR, INFO], f"“{ERROR}”."),
        ([INFO], f"“{INFO}”."),
        ([INFO, "Traceback", '  File "shop.py", line 3', "KeyError: 'token'", INFO], "“KeyError: 'token'” (File"),
        ([], "(the log is empty)."),
    ],
)
def test_a_program_that_ended_is_explained_by_its_error(tmp_path: Path, log: list[str], said: str) -> None:
    """The line with the reason is not always the last one: other parts of the program may still log."""
    (tmp_path / "lines").write_text("\n".join(log))
    program = f"import sys; sys.stderr.write(open({str(tmp_path / 'lines')!r}).read()); sys.exit(1)"
    process = ManagedProcess("master", [sys.executable, "-c", program], tmp_path / "log")
    with pytest.raises(StackError) as raised:
        process.wait_until(lambda: False, 30)
    assert str(raised.value).startswith(f"master ended with exit code 1 before it was ready: {said}")


def test_a_program_that_refused_its_settings_is_wrong_usage(tmp_path: Path) -> None:
    """A tag without a task is found by the master, and `loadtest run` ends with the master's exit code."""
    process = ManagedProcess("master", [sys.executable, "-c", "import sys; sys.exit(2)"], tmp_path / "log")
    with pytest.raises(UsageError, match="master ended with exit code 2"):
        process.wait_until(lambda: False, 30)


def test_a_free_port_is_none_that_a_connection_could_have() -> None:
    """It can be listened on, and is below the kernel's range for connections."""
    first_of_connections = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = {free_port() for _ in range(50)}
    assert len(ports) > 25
    assert max(ports) < first_of_connections
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_where_no_port_is_free_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the only possible port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr("loadtest.local.process._PORTS", range(port, port + 1))
        with pytest.raises(StackError, match=rf"no port of 127\.0\.0\.1 is free .* {port} to {port}\. Allowed:"):
            free_port()

"""The upload of results to a presigned URL, over a real HTTP server."""

import contextlib
import http.server
import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.exceptions import RecordError, UsageError
from loadtest.reporting import upload
from loadtest.run_folder import RunFolder
from loadtest.settings import fetching

KEY = "/bucket/night.tar.gz"
SIGNATURE = "X-Amz-Signature=5ec2e7"


class Store(http.server.ThreadingHTTPServer):
    """Accepts objects, after the configured responses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Put)
        self.url = f"http://127.0.0.1:{self.server_address[1]}{KEY}?{SIGNATURE}"
        self.statuses: list[int] = []
        self.requests: list[tuple[str, str | None]] = []
        """Path and type of the content of each request."""
        self.body = b""


class Put(http.server.BaseHTTPRequestHandler):
    """Responds to one request."""

    server: Store

    def do_PUT(self) -> None:
        """Accept the body, or refuse it with the error of a store."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers["Content-Type"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.body = body
        said = f"<Error><Code>SlowDown</Code><Signed>{SIGNATURE}</Signed></Error>".encode()
        self.send_response(status)
        if status == 307:
            self.send_header("Location", f"http://169.254.169.254/{SIGNATURE}")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A running store; there is no pause between attempts."""
    monkeypatch.setattr(upload, "PAUSE_S", 0.0)
    with Store() as store:
        thread = threading.Thread(target=store.serve_forever, args=(0.01,))
        thread.start()
        yield store
        store.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder with a record of the maximum size."""
    folder = RunFolder(tmp_path / "night")
    folder.logs.mkdir(parents=True)
    folder.record.write_bytes(bytes(range(256)) * 4096)
    (folder.logs / "master.log").write_text("ready")
    return folder


def file_with(tmp_path: Path, text: str) -> Path:
    """Write a file with a URL."""
    file = tmp_path / "url"
    file.write_text(text)
    return file


def test_every_file_arrives_as_it_is(store: Store, folder: RunFolder, tmp_path: Path) -> None:
    """They are in one archive, without a content type, which the signature may exclude."""
    said = upload.send(folder, file_with(tmp_path, f"{store.url}\n"))
    assert said == f"{len(store.body):,} bytes to 127.0.0.1"
    assert store.requests == [(f"{KEY}?{SIGNATURE}", None)]
    with tarfile.open(fileobj=io.BytesIO(store.body)) as archive:
        for path in (folder.record, folder.logs / "master.log"):
            sent = archive.extractfile(str(path.relative_to(tmp_path)))
            assert sent is not None
            assert sent.read() == path.read_bytes()


def test_what_may_pass_is_tried_again(store: Store, folder: RunFolder, tmp_path: Path) -> None:
    """Each attempt sends everything."""
    store.statuses = [503, 500]
    assert upload.send(folder, file_with(tmp_path, store.url)) == f"{len(store.body):,} bytes to 127.0.0.1"
    assert len(store.requests) == upload.ATTEMPTS
    assert store.body.startswith(b"\x1f\x8b")


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([403], "it answered 403 SlowDown"),
        ([503, 503, 503], "it answered 503 SlowDown, in 3 attempts"),
        ([307, 307, 307], "an address at which clouds serve credentials, in 3 attempts"),
    ],
)
def test_what_is_refused_is_said_without_the_signature(
    store: Store, folder: RunFolder, tmp_path: Path, statuses: list[int], said: str
) -> None:
    """The error has the host, the reason, and the place of the results."""
    store.statuses = [*statuses]
    with pytest.raises(RecordError) as raised:
        upload.send(folder, file_with(tmp_path, store.url))
    sentence = str(raised.value)
    assert said in sentence
    assert f"They are in {folder.path}/. Next: " in sentence
    assert "5ec2e7" not in sentence
    assert (len(store.requests), store.body) == (len(statuses), b"")


@pytest.mark.parametrize("host", ["127.0.0.1:1", "169.254.169.254", "store.invalid"])
def test_a_store_that_cannot_be_reached_is_named(
    store: Store,  # noqa: ARG001 - no pause between attempts
    folder: RunFolder,
    tmp_path: Path,
    host: str,
) -> None:
    """Nothing listens, the name does not exist, or the address is blocked."""
    with pytest.raises(RecordError, match=f"were not sent to {host.partition(':')[0]}: .*, in 3 attempts"):
        upload.send(folder, file_with(tmp_path, f"http://{host}{KEY}?{SIGNATURE}"))


def test_a_store_that_drops_packets_is_left_soon(
    store: Store,  # noqa: ARG001 - no pause between attempts
    folder: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A firewall would do so; here it is the kernel, for a server with a full backlog."""
    monkeypatch.setattr(fetching, "CONNECT_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        address = full.getsockname()
        with contextlib.suppress(TimeoutError):
            for _ in range(10):
                waiting.enter_context(socket.create_connection(address, timeout=0.5))
        began_s = time.monotonic()
        with pytest.raises(RecordError, match=r"no connection within 0\.2 s>, in 3 attempts"):
            upload.send(folder, file_with(tmp_path, f"http://127.0.0.1:{address[1]}{KEY}"))
    assert time.monotonic() - began_s < upload.WITHIN_S / 10


def test_a_store_that_never_answers_is_left_in_time(
    store: Store,  # noqa: ARG001 - no pause between attempts
    folder: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It accepts the connection, and reads nothing: the limit applies to all attempts together."""
    monkeypatch.setattr(upload, "WITHIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began_s = time.monotonic()
        with pytest.raises(RecordError, match=r"takes more than 0\.5 s, in 1 attempt\. "):
            upload.send(folder, file_with(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}{KEY}"))
    assert time.monotonic() - began_s < 20 * upload.WITHIN_S


def test_a_folder_that_cannot_be_packed_is_said(store: Store, tmp_path: Path) -> None:
    """Somebody may have removed it, for example."""
    with pytest.raises(RecordError, match="No such file or directory"):
        upload.send(RunFolder(tmp_path / "gone"), file_with(tmp_path, store.url))
    assert store.requests == []


@pytest.mark.parametrize(
    "text", ["", "two words", "ftp://a/b", "https:///b", "store/b", "http://a:b/", "http://[a/", "http://ä/"]
)
def test_a_file_without_a_url_is_refused(tmp_path: Path, text: str) -> None:
    """It is refused before the load, without its content."""
    with pytest.raises(UsageError, match=r"RESULTS_URL_FILE=.*url holds no URL") as raised:
        upload.read_url(file_with(tmp_path, text))
    assert not text or text not in str(raised.value)
    with pytest.raises(UsageError, match="RESULTS_URL_FILE="):
        upload.read_url(tmp_path / "missing")

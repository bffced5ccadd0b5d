"""The exporter over TLS: for clients that trust its certificate, and nothing in clear text."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import trustme
from locust.env import Environment

from loadtest.exceptions import UsageError
from loadtest.exporting import exporter
from loadtest.settings.config import Config
from tests.unit.exporting.samples import count, samples_of, total

NAME = "127.0.0.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A certificate and its key, as in the Secret of a cluster."""
    certificate = trustme.CA().issue_cert("locust-master", NAME)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    return tmp_path


@pytest.fixture
def port(environment: Environment, folder: Path) -> Iterator[int]:
    """The port of a running exporter."""
    running = exporter.start(environment, NAME, 0, tls_dir=folder)
    yield running.port
    running.stop()


def _get(port: int, certificate: Path, path: str = "/metrics") -> str:
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # like Prometheus: it need not be an authority's
    with urllib.request.urlopen(f"https://{NAME}:{port}{path}", timeout=20, context=trusting) as answer:
        text: str = answer.read().decode()
        return text


def test_who_trusts_the_certificate_gets_the_metrics(environment: Environment, port: int, folder: Path) -> None:
    """The certificate may be of a private authority, or self-signed."""
    count(environment, "read", [0.01] * 3)
    assert total(samples_of(_get(port, folder / "tls.crt")), "loadtest_requests_total") == 3


def test_another_certificate_is_not_trusted(port: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A scraper would notice a man in the middle."""
    other = tmp_path_factory.mktemp("other") / "tls.crt"
    trustme.CA().cert_pem.write_to_path(other)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        _get(port, other)


def test_nothing_is_answered_in_the_clear(port: int, folder: Path) -> None:
    """Clear text gets no response at all; the next client is served."""
    with socket.create_connection((NAME, port), timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"loadtest_" not in _until_closed(client)
    assert _get(port, folder / "tls.crt", "/healthz") == "ok\n"


def _until_closed(client: socket.socket) -> bytes:
    received = b""
    try:
        while more := client.recv(65536):
            received += more
    except ConnectionResetError:
        pass
    return received


def test_clients_that_agree_on_nothing_are_let_go(
    environment: Environment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that send nothing, or a byte now and then, are disconnected, and there is room for others."""
    monkeypatch.setattr(exporter, "CLIENT_TIMEOUT_S", 0.5)
    running = exporter.start(environment, NAME, 0, tls_dir=folder)
    silent = [socket.create_connection((NAME, running.port), timeout=10) for _ in range(exporter.MAX_CLIENTS)]
    for beginning in b"\x16\x03\x01\x02\x00\x01":  # the head of a handshake
        with contextlib.suppress(OSError):
            silent[0].sendall(bytes([beginning]))
        gevent.sleep(0.15)
    assert _get(running.port, folder / "tls.crt", "/healthz") == "ok\n"
    for client in silent:
        assert _until_closed(client) == b""
        client.close()
    running.stop()


def test_clients_that_agree_on_nothing_leave_room_at_once(environment: Environment, folder: Path) -> None:
    """They make room before their time is over: one connection is always free."""
    running = exporter.start(environment, NAME, 0, tls_dir=folder)
    silent = [socket.create_connection((NAME, running.port), timeout=10) for _ in range(exporter.MAX_CLIENTS)]
    began_s = time.monotonic()
    assert _get(running.port, folder / "tls.crt", "/healthz") == "ok\n"
    assert time.monotonic() - began_s < exporter.CLIENT_TIMEOUT_S / 2
    for client in silent:
        client.close()
    running.stop()


@pytest.mark.parametrize("wrong", ["missing", "nonsense", "another", "password"])
def test_what_is_no_certificate_with_its_key_is_refused(
    environment: Environment, folder: Path, tmp_path_factory: pytest.TempPathFactory, wrong: str
) -> None:
    """The error names the setting, and nobody is asked for a password."""
    key = folder / "tls.key"
    if wrong == "missing":
        key.unlink()
    elif wrong == "nonsense":
        key.write_text("none")
    elif wrong == "another":
        trustme.CA().issue_cert(NAME).private_key_pem.write_to_path(key)
    else:
        plain = tmp_path_factory.mktemp("plain") / "tls.key"
        shutil.move(key, plain)
        command = ["openssl", "pkey", "-in", str(plain), "-aes256", "-passout", "pass:secret", "-out", str(key)]
        subprocess.run(command, check=True, capture_output=True)
    said = r"^EXPORTER_TLS_DIR=.*cannot be used \(.+\)\. Allowed: .* Next: put both there"
    with pytest.raises(UsageError, match=said):
        exporter.start_on_master(environment, Config(exporter_port=0, exporter_tls_dir=folder))

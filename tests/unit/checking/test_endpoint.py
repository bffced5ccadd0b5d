"""The path from this machine to a service is reported: addresses, and the certificate with its problems."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from gevent.server import StreamServer

from loadtest.checking import endpoint

SOON = datetime.now(UTC) + timedelta(days=3)


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """The only authority that this machine trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@contextmanager
def serve(certificate: trustme.LeafCert | None) -> Iterator[int]:
    """Yield the port of a server with this certificate, or of one that speaks no TLS."""
    options = {}
    if certificate:
        options["ssl_context"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(options["ssl_context"])
    server = StreamServer(("127.0.0.1", 0), lambda connection, _: connection.sendall(b"welcome\r\n"), **options)
    server.start()
    yield server.server_port
    server.stop()


WITHOUT_TRUST = "warning: clients that verify the certificate will refuse it ("
CERTIFICATES = {
    "fine": (["localhost"], None, "TLSv1.3, certificate valid until "),
    "expires": (["localhost"], SOON, "warning: TLSv1.3, certificate only valid until "),
    "foreign": (["localhost"], None, f"{WITHOUT_TRUST}unable to get local issuer"),
    "of another": (["shop.example"], None, f"{WITHOUT_TRUST}Hostname mismatch"),
    "none": ([], None, "warning: no handshake ("),
}


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_certificate_is_judged(authority: trustme.CA, kind: str) -> None:
    """A good certificate is named with its expiry; one that expires soon, or that clients will refuse, is a warning."""
    names, expires_at, starts = CERTIFICATES[kind]
    issuer = trustme.CA() if kind == "foreign" else authority
    certificate = issuer.issue_cert(*names, not_after=expires_at) if names else None
    with serve(certificate) as port:
        found = dict(endpoint.look(f"https://localhost:{port}"))
    assert found["name"].startswith("localhost is ")
    assert "127.0.0.1" in found["name"]
    assert found["tls"].startswith(starts)


def test_a_plain_service_has_no_certificate() -> None:
    """For http only the name is looked up."""
    assert [part for part, _ in endpoint.look("http://127.0.0.1:1")] == ["name"]

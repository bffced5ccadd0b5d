"""nginx as the server of the HTTP comparisons: pinned to its core, with requests counted by its stub_status."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trustme

from bench.engine.measuring import SERVER_CORE, end, pinned

SMALL = '{"id":1,"name":"small document","value":3.14159,"tags":["a","b","c"]}'
LARGE_BYTES = 14_000

_CONFIGURATION = """
{user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
worker_rlimit_nofile {files};
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600; sendfile on; tcp_nodelay on;
  open_file_cache max=10; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type application/json;
  server {{
    {listens} listen 127.0.0.1:{tls_port} ssl backlog=8192;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; root {folder};
    location = /small {{ return 200 '{small}'; }}
    location = /varying {{ add_header X-Request-Id $request_id; return 200 '{small}'; }}
    location = /login {{ add_header Set-Cookie "session=0123456789abcdef; Path=/"; return 200 '{small}'; }}
    location = /status {{ stub_status; }}
  }}
}}
"""


ADDRESSES = 8
"""The number of loopback addresses at which it listens: a client has about 28,000 ports for each."""


class NginxServer:
    """A running nginx.

    Attributes:
        environment: BENCH_URL, BENCH_TLS_URL, BENCH_ADDRESSES, and BENCH_CERTIFICATE, a file with the authority to
            trust.
    """

    def __init__(self, port: int, environment: Mapping[str, str]) -> None:
        """Create it; called by running()."""
        self.environment = environment
        self._port = port
        self._asked = 0

    def served(self) -> int:
        """Return the requests that nginx counted, without those for the count."""
        self._asked += 1
        with socket.create_connection(("127.0.0.1", self._port)) as sock:
            sock.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            answer = b""
            while received := sock.recv(4096):
                answer += received
        return int(answer.split(b"requests")[1].split()[2]) - self._asked


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(connections: int = 10_000) -> Iterator[NginxServer]:
    """Run a separate nginx; it ends with the context.

    Args:
        connections: the maximum number of concurrent connections.
    """
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as name:
        folder = Path(name)
        port, tls_port = _free_port(), _free_port()
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        authority.cert_pem.write_to_path(folder / "authority.pem")
        (folder / "large").write_bytes(b'{"text": "' + b"x" * (LARGE_BYTES - 12) + b'"}')
        user = "user root;" if os.getuid() == 0 else ""  # its workers read a folder that only this user can read
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                folder=folder,
                listens=" ".join(f"listen 127.0.0.{n + 1}:{port} backlog=8192;" for n in range(ADDRESSES)),
                connections=connections,
                files=connections + 100,
                tls_port=tls_port,
                small=SMALL,
                user=user,
            )
        )
        process = subprocess.Popen(
            [binary, "-c", str(folder / "nginx.conf"), "-p", name],
            start_new_session=True,
            preexec_fn=pinned(SERVER_CORE),  # noqa: PLW1509 -- no thread runs yet in this process
        )
        try:
            _wait_for(port)
            yield NginxServer(
                port,
                {
                    "BENCH_URL": f"http://127.0.0.1:{port}",
                    "BENCH_ADDRESSES": str(ADDRESSES),
                    "BENCH_TLS_URL": f"https://localhost:{tls_port}",
                    "BENCH_CERTIFICATE": str(folder / "authority.pem"),
                },
            )
        finally:
            end(process)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("nginx did not start")

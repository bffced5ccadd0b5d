"""Exporter: the HTTP server that Prometheus scrapes: /metrics and /healthz, in the master's process, on its own port.

It serves with and without Locust's web UI. The text is complete before its first byte is sent, so a slow client only
occupies one of `MAX_CLIENTS` connections, for at most `CLIENT_TIMEOUT_S`. If all are in use, the connection of the
client that has been slow for longest is closed, so that one is always free. With a certificate it serves TLS only, and
has no plain-text port.

A headless master ends with its run. If it has been scraped recently, it stays until the final values have been fetched
twice, or for `LINGER_S`: `rate` and `increase` miss the end of a counter whose last value was scraped only once, or
never.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import re
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import ssl
from gevent.lock import Semaphore
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from locust.runners import WorkerRunner

from loadtest.exceptions import StackError, UsageError
from loadtest.exporting.exposition import CONTENT_TYPE, OPENMETRICS, OPENMETRICS_TYPE, Exposition
from loadtest.settings.hosts import parse
from loadtest.swarm.record_keeper import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from locust.env import Environment

    from loadtest.settings.config import Config

MAX_CLIENTS: Final = 32
CLIENT_TIMEOUT_S: Final = 10.0
"""Seconds allowed for a request to arrive, for a response to be read, and for a connection to be idle."""

REQUEST_TIMEOUT_S: Final = 20.0
"""Seconds allowed for a whole request, from waiting for its first byte to the last byte of its response."""

CONNECTION_S: Final = 60.0
"""Age in seconds at which a connection is closed after its next response; Prometheus opens another."""

GZIP_BYTES: Final = 10_000
"""Responses below this size, in bytes, are not compressed."""

LINGER_S: Final = 10.0
"""The longest time, in seconds, that an ending master waits for its final values to be fetched."""
FINAL_SCRAPES: Final = 2
_RECENT_SCRAPE_S: Final = 15.0
"""A scraper that last fetched within this time, in seconds, is expected to return."""
_SCRAPER: Final = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
"""The header that Prometheus and compatible agents send. A request without it comes from a person, not a scraper."""
_POLL_S: Final = 0.05
_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
_FASTEST: Final = 1

logger = logging.getLogger(__name__)


class Exporter:
    """A running exporter.

    Attributes:
        port: the port that it listens on.
    """

    def __init__(
        self, exposition: Exposition, bind: str, port: int, names: str | None = None, *, tls_dir: Path | None = None
    ) -> None:
        """Listen and serve.

        Args:
            exposition: the metrics to serve.
            bind: the IP address to listen on.
            port: the port; 0 for any free one.
            names: host names containing a dot under which a scraper may address it, separated by commas.
            tls_dir: the folder of its certificate and key; None to serve without TLS.

        Raises:
            StackError: when it cannot listen on the address.
            UsageError: when the certificate and key cannot be used.
        """
        encryption: dict[str, Any] = {} if tls_dir is None else {"ssl_context": _tls(tls_dir)}
        self._exposition = exposition
        self._names = {name.strip().lower() for name in (names or "").split(",")}
        self._one_at_a_time = Semaphore()
        self._scraped_s: float | None = None
        self._ending = False
        self._final_scrapes = 0
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        try:
            listener = socket.create_server((bind, port), family=family, backlog=MAX_CLIENTS)
        except OSError as error:
            raise StackError(
                f"the exporter cannot listen on {bind}:{port} ({error.strerror or error}). Allowed: an address of this "
                "machine and a free port. Next: stop what uses the port, or set LOADTEST_EXPORTER_PORT to another."
            ) from error
        self.port: int = listener.getsockname()[1]
        self._server = _Server(
            listener, self._answer, handler_class=_Handler, spawn=Pool(MAX_CLIENTS), log=None, error_log=logger,
            **encryption,
        )  # fmt: skip
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._server.stop(timeout=0)

    def linger(self) -> None:
        """Wait until the current values have been fetched twice; return immediately without a recent scrape."""
        now_s = time.monotonic()
        if self._scraped_s is None or now_s - self._scraped_s > _RECENT_SCRAPE_S:
            return
        self._ending, until_s = True, now_s + LINGER_S
        while self._final_scrapes < FINAL_SCRAPES and time.monotonic() < until_s:
            gevent.sleep(_POLL_S)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        path, method, host = environ["PATH_INFO"], environ["REQUEST_METHOD"], environ.get("HTTP_HOST", "")
        status, body, kind = "404 Not Found", b"not found; see /metrics and /healthz\n", "text/plain"
        is_final = False
        if not self._is_ours(host):
            allowed = b"allowed as Host: an IP address, a name without a dot, and those in LOADTEST_WEB_HOSTS\n"
            status, body = "421 Misdirected Request", allowed
        elif method not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", b"only GET and HEAD are allowed\n"
        elif path == "/metrics":
            with self._one_at_a_time:
                is_final = self._ending and _SCRAPER in environ
                openmetrics = self._exposition.has_exemplars and OPENMETRICS in environ.get("HTTP_ACCEPT", "")
                kind = OPENMETRICS_TYPE if openmetrics else CONTENT_TYPE
                status, body = "200 OK", self._exposition.text(openmetrics=openmetrics)
                if _SCRAPER in environ:
                    self._scraped_s = time.monotonic()
        elif path == "/healthz":
            status, body = "200 OK", b"ok\n"
        headers = [("Content-Type", kind), ("Vary", "Accept, Accept-Encoding")]
        if len(body) >= GZIP_BYTES and _GZIP.search(environ.get("HTTP_ACCEPT_ENCODING", "")):
            body = gevent.get_hub().threadpool.apply(gzip.compress, (body, _FASTEST))  # in another thread than the load
            headers.append(("Content-Encoding", "gzip"))
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return self._send(body if method != "HEAD" else b"", is_final)

    def _is_ours(self, host: str) -> bool:
        """Whether the Host cannot be a web page's own domain that resolves to this machine (DNS rebinding).

        Such a domain contains a dot; the names of services in a container network do not.
        """
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        return parse(name) is not None or "." not in name.rstrip(".") or name in self._names

    def _send(self, body: bytes, is_final: bool) -> Iterable[bytes]:
        """Yield the body. A scrape of the final values counts once the whole body was read, which may take a while."""
        yield body
        self._final_scrapes += is_final


def _tls(folder: Path) -> ssl.SSLContext:
    """Return the TLS context for the certificate in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key", password="")
    except OSError as error:  # includes TLS errors
        raise UsageError(
            f"EXPORTER_TLS_DIR={folder}: its tls.crt and tls.key cannot be used ({error.strerror or error}). Allowed: "
            "a certificate and its key in PEM, the key without a password. Next: put both there, in a cluster as keys "
            "of the Secret; docs/kubernetes.md makes them with openssl."
        ) from error
    return context


def _close_connection(sock: Any) -> None:
    """Close a connection, even during a TLS handshake. A greenlet that waits for it gets end of file or an OSError."""
    with contextlib.suppress(OSError):
        sock._sock.shutdown(socket.SHUT_RDWR)


class _Server(WSGIServer):
    """The server, which tracks the connections of slow clients."""

    wrap_socket: Any
    ssl_args: Any
    pool: Pool

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._awaited: dict[Any, None] = {}  # sockets of clients that have to send or to read, in order of time

    def wait_for(self, sock: Any) -> None:
        """Record that a client has to send or to read. If all connections are in use, close the slowest one."""
        self._awaited[sock] = None
        first = next(iter(self._awaited))
        if self.pool.full() and first is not sock:
            self.go_on(first)
            _close_connection(first)

    def go_on(self, sock: Any) -> None:
        """Record that a client is no longer waited for."""
        self._awaited.pop(sock, None)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Serve a client once the TLS handshake completes in time. A plain-text client gets no response."""
        encrypted = client_socket
        try:
            encrypted = self.wrap_socket(client_socket, do_handshake_on_connect=False, **self.ssl_args)
            self.wait_for(encrypted)
            with gevent.Timeout(CLIENT_TIMEOUT_S, TimeoutError("no handshake")):
                encrypted.do_handshake()
        except OSError as error:  # includes TLS errors
            logger.debug("a client agreed on no encryption: %s", error)
            encrypted.close()
        else:
            self.go_on(encrypted)
            self.handle(encrypted, address)
        finally:
            self.go_on(encrypted)


class _Handler(WSGIHandler):
    """A connection with a time limit for each request and for each wait. A client that closes it causes no error."""

    server: _Server

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        sock.settimeout(CLIENT_TIMEOUT_S)
        self._ages_s = time.monotonic() + CONNECTION_S
        super().__init__(sock, address, server)

    def handle_one_request(self) -> Any:
        """Serve one request, or close the connection if it takes too long, even if bytes keep arriving."""
        timer = gevent.spawn_later(REQUEST_TIMEOUT_S, _close_connection, self.socket)
        self.server.wait_for(self.socket)
        try:
            return super().handle_one_request()
        finally:
            self.server.go_on(self.socket)
            timer.kill(block=False)

    def handle_one_response(self) -> Any:
        """See gevent. The client has sent its request."""
        self.server.go_on(self.socket)
        return super().handle_one_response()

    def process_result(self) -> Any:
        """See gevent. The client has to read the response."""
        self.server.wait_for(self.socket)
        return super().process_result()

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """See gevent. The last response on a connection carries ``Connection: close``."""
        last = [("Connection", "close")] if time.monotonic() >= self._ages_s else []
        return super().start_response(status, [*headers, *last], exc_info)

    def handle_error(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            logger.debug("a client disconnected: %s", error)
            self.close_connection = True
        else:
            super().handle_error(kind, error, trace)


def start_on_master(environment: Environment, config: Config) -> None:
    """Serve a master's metrics if the settings ask for it. A worker has nothing to serve.

    Raises:
        StackError: when it cannot listen on the address.
        UsageError: when the certificate and key cannot be used.
    """
    if not isinstance(environment.runner, WorkerRunner):
        start(
            environment,
            config.exporter_bind,
            config.exporter_port,
            compatible=config.exporter_compatibility,
            names=config.web_hosts,
            tls_dir=config.exporter_tls_dir,
        )


def start(
    environment: Environment,
    bind: str,
    port: int,
    *,
    compatible: bool = False,
    names: str | None = None,
    tls_dir: Path | None = None,
) -> Exporter:
    """Serve the metrics of a master's Environment, whose User classes must already be known.

    Call this after all other listeners of ``quitting`` have been added: Locust calls them in reverse order.

    Args:
        environment: the master's Environment.
        bind: the IP address to listen on.
        port: the port; 0 for any free one, which the result's `port` then names.
        compatible: add the names of `loadtest.exporting.compatibility`.
        names: see `Exporter`.
        tls_dir: see `Exporter`.

    Raises:
        StackError: when it cannot listen on the address.
        UsageError: when the certificate and key cannot be used.
    """
    exporter = Exporter(Exposition(environment, compatible=compatible), bind, port, names, tls_dir=tls_dir)

    def quitting(**_: object) -> None:
        RecordKeeper.of(environment).finish()
        exporter.linger()

    events: Any = environment.events
    events.quitting.add_listener(quitting)
    scheme = "http" if tls_dir is None else "https"
    logger.info("metrics for Prometheus on %s://%s:%d/metrics", scheme, bind, exporter.port)
    return exporter

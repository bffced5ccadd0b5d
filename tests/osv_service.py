"""A service with OSV's interface, with data on a few vulnerabilities."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def osv_service(**known: tuple[str, str]) -> Iterator[str]:
    """Respond as OSV does about one old version of each package, with the version that fixes it; yield the URL."""

    def answer(query: dict[str, Any]) -> dict[str, Any]:
        name, version = query["package"]["name"], query["version"]
        old, fixed = known.get(name, (None, ""))
        if version != old:
            return {}
        events = [{"introduced": "0"}, {"fixed": fixed}]
        ranges = [{"type": "ECOSYSTEM", "events": events}]
        package = {"name": name, "ecosystem": "PyPI"}
        affected = [{"package": package, "ranges": ranges, "versions": [old]}]
        return {"vulns": [{"id": "PYSEC-0000-1", "summary": "old", "details": "old", "affected": affected}]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps(answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

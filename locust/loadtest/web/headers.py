"""Security headers for every response of the web UI, and the changes to Locust's pages that they require.

Tested in tests/native/test_web_guard.py.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

_POLICY: Final = "Content-Security-Policy"
_FIXED: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer", our own form would be sent with Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_ASSETS: Final = "/assets/"  # Locust's own files, the same for everyone; browsers may cache them
_EVERYWHERE: Final = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_NO_PAGE: Final = "default-src 'none'; form-action 'none'; " + _EVERYWHERE
_PAGES: Final = ("locust.index", "locust.login", "loadtest_login")
_PAGE: Final = (
    "default-src 'none'; connect-src 'self'; font-src 'self' data:; form-action 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'nonce-{nonce}'; " + _EVERYWHERE
)
# Locust's report is a single file with inline scripts. It needs no server, so its policy allows no connections.
_REPORT: Final = (
    "default-src 'none'; font-src data:; form-action 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; " + _EVERYWHERE
)
_REPORTS: Final = ("locust.stats_report",)
# A page that contains only our script, which fetches the requested page with the session's token and shows it.
_SHELL: Final = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Locust</title>'
    '<link rel="icon" href="data:,"><script src="{script}" nonce="{nonce}" data-shell></script></head>'
    "<body></body></html>"
)
_OPEN_TO_ALL: Final = "access-control-"
_VALUES: Final = re.compile(r"<script>(?=\s*window\.(?:templateArgs|authArgs) = )")
_HEAD: Final = "<head>"


class Headers:
    """Sets the headers of every response.

    Args:
        script: the address of our script, which Locust's pages load first.
        encrypted: whether the web UI is served over TLS.
    """

    def __init__(self, script: str, *, encrypted: bool) -> None:
        self._script = script
        self._fixed = _FIXED | ({"Strict-Transport-Security": "max-age=31536000"} if encrypted else {})

    def install(self, app: Flask) -> None:
        """Set the headers of every response of this app, including errors."""
        app.after_request(self._fit)
        app.wsgi_app = self._around(app.wsgi_app)  # type: ignore[method-assign]

    def shell(self) -> Response:
        """Return a page without content that fetches its own address with the session's token, and shows the answer."""
        nonce = secrets.token_urlsafe(16)
        answer = Response(_SHELL.format(script=self._script, nonce=nonce), mimetype="text/html")
        # The displayed page keeps this policy, so the policy must allow what that page needs.
        report = _REPORT.replace("script-src", "connect-src 'self'; script-src 'self'")
        policy = report if request.endpoint in _REPORTS else _PAGE.format(nonce=nonce)
        answer.headers[_POLICY] = policy
        return answer

    def _fit(self, response: Response) -> Response:
        """Give the inline script of Locust's page the nonce that the policy requires, and load our script."""
        if _POLICY in response.headers:
            return response
        if request.endpoint in _REPORTS:
            response.headers[_POLICY] = _REPORT
        if request.endpoint not in _PAGES or response.mimetype != "text/html":
            return response
        nonce = secrets.token_urlsafe(16)
        page, pages = _VALUES.subn(f'<script nonce="{nonce}">', response.get_data(as_text=True), count=1)
        if pages:
            response.set_data(page.replace(_HEAD, f'{_HEAD}<script src="{self._script}"></script>', 1))
            response.headers[_POLICY] = _PAGE.format(nonce=nonce)
        return response

    def _around(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                # Locust allows every site to read every response (Access-Control-Allow-Origin: *), which nothing needs.
                ours = self._fixed if _ASSETS in environ["PATH_INFO"] else self._fixed | _NOT_KEPT
                kept = [(n, v) for n, v in headers if not n.lower().startswith(_OPEN_TO_ALL) and n not in ours]
                if not any(name == _POLICY for name, _ in kept):
                    kept.append((_POLICY, _NO_PAGE))
                return start_response(status, [*kept, *ours.items()], exc_info)

            return app(environ, start)

        return guarded

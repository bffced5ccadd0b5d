"""Login: one password for the web UI, and a session for those who know it.

A session consists of a cookie and a token. Browsers send a cookie to every port of a host, so also to a service under
test on this machine, and with every request that a page of that service makes. So every request needs the token as
well. It is in no cookie: the page stores it where only pages of the same port can read it, and sends it in a header. A
browser that opens an address sends no such header, so it gets a page without content, which fetches the address again
with the token.

Tested in tests/native/test_web_guard.py.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from flask import current_app, make_response, redirect, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user  # type: ignore[import-untyped]

from loadtest.settings.credentials import LONGEST
from loadtest.web.attempts import Attempts
from loadtest.web.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response
    from werkzeug.wrappers import Response as AnyResponse

logger = logging.getLogger(__name__)

SHORTEST: Final = 12
SESSION: Final = timedelta(hours=12)
_FORM: Final = "locust.login"
_SUBMIT: Final = "loadtest_login"
_OPEN: Final = frozenset({_FORM, _SUBMIT, "locust.send_assets", "loadtest_page_script"})
_WHO: Final = "owner"
_NUMBER: Final = "loadtest_session"
TOKEN_HEADER: Final = "X-Loadtest-Token"  # noqa: S105 - the header's name
MAX_SESSIONS: Final = 100
"""The maximum number of simultaneous sessions; a further login ends the oldest."""


class Owner(UserMixin):  # type: ignore[misc]
    """The only user of the web UI, who knows the password."""

    id = _WHO


class Login:
    """Locust's login page with a single password. Sessions end with the process, or after 12 hours.

    Args:
        password: the password.
        shell: returns the page without content.
        attempts: limits failed attempts.
    """

    def __init__(self, password: str, shell: Callable[[], Response], attempts: Attempts | None = None) -> None:
        self._password = password.encode()
        self._shell = shell
        self._attempts = attempts or Attempts()
        self._tokens: dict[str, str] = {}

    def install(self, web_ui: Any) -> None:
        """Enable Locust's login with this password."""
        app: Flask = web_ui.app
        app.config["PERMANENT_SESSION_LIFETIME"] = SESSION
        manager = LoginManager(app)
        manager.session_protection = "strong"
        manager.login_view = _FORM
        manager.user_loader(lambda who: Owner() if who == _WHO else None)
        web_ui.web_login, web_ui.login_manager = True, manager
        form = web_ui.environment.parsed_options.web_base_path + "/login"
        app.add_url_rule(form, _SUBMIT, self._submit, methods=["POST"])
        app.add_url_rule(form.removesuffix("login") + "logout", "loadtest_logout", self._log_out, methods=["POST"])
        field = {"label": "Password", "name": "password", "is_secret": True, "is_required": True}
        web_ui.auth_args["custom_form"] = {"inputs": [field], "callback_url": form, "submit_button_text": "Log in"}

    def check(self) -> AnyResponse | None:
        """Return the response for a browser that opens an address; None for a request with cookie and token.

        Without a session it is the login page; with only the cookie it is the page without content.

        Raises:
            Refusal: 401 for other requests without a session, or with only its cookie.
        """
        if request.endpoint in _OPEN:
            return None
        is_opened = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
        token = self._tokens.get(session.get(_NUMBER, ""))
        if token and current_user.is_authenticated:
            if hmac.compare_digest(_sent_token(), token.encode()):
                return None
            if is_opened:
                return self._shell()
            raise Refusal(
                401,
                f"this requires more than a cookie. Allowed: requests with the header {TOKEN_HEADER} from the "
                "login response. Next: log in again, and send it.",
            )
        if is_opened:
            return redirect(url_for(_FORM))
        raise Refusal(
            401,
            "this requires a login. Allowed: requests with a session's cookie and token. Next: send the password "
            "to /login.",
        )

    def _submit(self) -> AnyResponse:
        address = request.remote_addr or "?"
        wait_s = self._attempts.wait_s(address)
        if wait_s:
            logger.warning("login: too many attempts from %s", address)
            seconds = f"{wait_s + 1:.0f}"
            return self._again(f"Too many attempts. Next: try again in {seconds} s.", 429, seconds)
        given = request.form.get("password", "")[: 2 * LONGEST].encode(errors="replace")
        if not hmac.compare_digest(given, self._password):
            self._attempts.failed(address)
            logger.warning("login: wrong password from %s", address)
            return self._again("Wrong password.", 401)
        self._attempts.succeeded(address)
        session.clear()
        session.permanent = True
        login_user(Owner())
        logger.info("login: from %s", address)
        return self._opened()

    def _opened(self) -> AnyResponse:
        """Begin a session, and pass its token to the page in the part of the URL that is never sent (the fragment)."""
        number, token = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        session[_NUMBER] = number
        self._tokens[number] = token
        while len(self._tokens) > MAX_SESSIONS:
            del self._tokens[next(iter(self._tokens))]
        answer = redirect(url_for("locust.index", _anchor=f"loadtest={token}"))
        answer.headers[TOKEN_HEADER] = token
        return answer

    def _log_out(self) -> AnyResponse:
        self._tokens.pop(session.get(_NUMBER, ""), None)
        logout_user()
        session.clear()
        return make_response("", 204)

    def _again(self, sentence: str, status: int, wait_s: str | None = None) -> Response:
        """Show the login page again with an error."""
        logout_user()
        session["auth_error"] = sentence
        answer = make_response(current_app.view_functions[_FORM]())
        session.pop("auth_error", None)
        answer.status_code = status
        if wait_s:
            answer.headers["Retry-After"] = wait_s
        return answer


def _sent_token() -> bytes:
    return request.headers.get(TOKEN_HEADER, "").encode(errors="replace")


def new_key() -> str:
    """Return a key for session cookies, new and random for each process."""
    return secrets.token_hex(32)

"""Login: one password for the web UI, and a session for those who know it.

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
    from flask import Flask, Response
    from werkzeug.wrappers import Response as AnyResponse

logger = logging.getLogger(__name__)

SHORTEST: Final = 12
SESSION: Final = timedelta(hours=12)
_FORM: Final = "locust.login"
_SUBMIT: Final = "loadtest_login"
_OPEN: Final = frozenset({_FORM, _SUBMIT, "locust.send_assets", "loadtest_page_script"})
_WHO: Final = "owner"


class Owner(UserMixin):  # type: ignore[misc]
    """The user of the web UI, who knows the password."""

    id = _WHO


class Login:
    """Locust's login page with one password; sessions end with the process, or after 12 hours.

    Args:
        password: the one to enter.
        attempts: the limit on failed ones.
    """

    def __init__(self, password: str, attempts: Attempts | None = None) -> None:
        self._password = password.encode()
        self._attempts = attempts or Attempts()

    def install(self, web_ui: Any) -> None:
        """Turn on Locust's login, with this password."""
        app: Flask = web_ui.app
        app.config["PERMANENT_SESSION_LIFETIME"] = SESSION
        manager = LoginManager(app)
        manager.session_protection = "strong"
        manager.login_view = _FORM
        manager.user_loader(lambda who: Owner() if who == _WHO else None)
        web_ui.web_login, web_ui.login_manager = True, manager
        form = web_ui.environment.parsed_options.web_base_path + "/login"
        app.add_url_rule(form, _SUBMIT, self._submit, methods=["POST"])
        field = {"label": "Password", "name": "password", "is_secret": True, "is_required": True}
        web_ui.auth_args["custom_form"] = {"inputs": [field], "callback_url": form, "submit_button_text": "Log in"}

    def check(self) -> AnyResponse | None:
        """Return a redirect to the login page for a page requested without a session; None with a session.

        Raises:
            Refusal: 401 for other requests without a session.
        """
        if request.endpoint in _OPEN or current_user.is_authenticated:
            return None
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return redirect(url_for(_FORM))
        raise Refusal(
            401, "this requires a login. Allowed: requests with a session cookie. Next: send the password to /login."
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
        return redirect(url_for("locust.index"))

    def _again(self, sentence: str, status: int, wait_s: str | None = None) -> Response:
        """Show the login page again, with an error."""
        logout_user()
        session["auth_error"] = sentence
        answer = make_response(current_app.view_functions[_FORM]())
        session.pop("auth_error", None)
        answer.status_code = status
        if wait_s:
            answer.headers["Retry-After"] = wait_s
        return answer


def new_key() -> str:
    """Return a key for session cookies, random for each start of the process."""
    return secrets.token_hex(32)

"""Guard: applies all protections of this package to Locust's web UI, and refuses to start one open to strangers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import current_app, request, send_file
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from loadtest.exceptions import UsageError
from loadtest.reporting.locust_files import PlainTables
from loadtest.settings.credentials import read_secret
from loadtest.settings.hosts import Targets, is_loopback
from loadtest.web.headers import Headers
from loadtest.web.hidden_hosts import HiddenHosts
from loadtest.web.inputs import MAX_BYTES, START, Inputs
from loadtest.web.login import SHORTEST, Login, new_key
from loadtest.web.origin import Origins
from loadtest.web.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response
    from locust.env import Environment

    from loadtest.settings.config import Config
    from loadtest.web.start_form import StartForm

logger = logging.getLogger(__name__)

_SCRIPT: Final = Path(__file__).with_name("page.js")
_SCRIPT_ADDRESS: Final = "/loadtest.js"
_NOT_SERVED: Final = 400
_ANY: Final = ("", "*", "0.0.0.0", "::")  # noqa: S104 - to recognise them


def start(environment: Environment, config: Config, form: StartForm | None = None) -> None:
    """Guard the web UI of a master, if it has one, before it begins to serve.

    Args:
        environment: the Environment of the process.
        config: its settings.
        form: checks the other fields of a start.

    Raises:
        UsageError: when strangers could reach it without a password, or the password cannot be read.
    """
    web_ui: Any = environment.web_ui
    if web_ui is None:
        return
    check_reach(web_ui.host, config)
    web_ui.stats_csv_writer = PlainTables(web_ui.stats_csv_writer)
    options: Any = environment.parsed_options
    app: Flask = web_ui.app
    encrypted = bool(web_ui.tls_cert and web_ui.tls_key)
    app.debug = False
    app.secret_key = new_key()
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BYTES,
        MAX_FORM_PARTS=200,
        SESSION_COOKIE_NAME="loadtest_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=encrypted,
    )
    script = options.web_base_path + _SCRIPT_ADDRESS
    app.add_url_rule(script, "loadtest_page_script", lambda: send_file(_SCRIPT, mimetype="text/javascript"))
    headers = Headers(script, encrypted=encrypted)
    headers.install(app)
    hidden = HiddenHosts(environment)
    hidden.install(app)
    origins = Origins(config.web_hosts, "" if web_ui.host in _ANY else web_ui.host)
    login = _login(config, headers.shell, web_logins=options.web_login)
    if login:
        login.install(web_ui)
    targets = Targets(config.allowed_hosts, config.host, config.sample_target, environment.host)
    inputs = Inputs(environment, config, targets, hidden, form.loads.entered if form else None)

    def check() -> Any:
        try:
            origins.check(request)
            answer = login.check() if login else None
            if answer is None:
                if request.endpoint == START:  # reading a form consumes the body
                    hidden.take(request)
                inputs.check(request)
        except Refusal as refusal:
            logger.warning("refused %s %s: %s", request.method, request.path[:200], refusal)
            return refusal.response()
        except RequestEntityTooLarge:
            return Refusal(
                413, f"the request is too long. Allowed: up to {MAX_BYTES} bytes. Next: send less."
            ).response()
        return answer

    app.before_request(check)
    app.after_request(_say_status)
    app.register_error_handler(HTTPException, _plain)


def check_reach(host: str, config: Config) -> None:
    """Check that a web UI without a password can be reached by trusted people only.

    Raises:
        UsageError: when others could reach it.
    """
    if config.web_password_file or config.private_network or is_loopback(host):
        return
    raise UsageError(
        f"the web UI would listen on {host or 'every address'} without a password, and anyone who reaches it could "
        f"load any service from here. Allowed: --web-host 127.0.0.1, or a password of {SHORTEST} characters or more in "
        "the file that LOADTEST_WEB_PASSWORD_FILE names. Next: choose one of them."
    )


def _login(config: Config, shell: Callable[[], Response], *, web_logins: bool) -> Login | None:
    """Return the login if a password is configured; otherwise None.

    Raises:
        UsageError: when the password cannot be read, or Locust's login is requested without one.
    """
    if config.web_password_file:
        return Login(read_secret(config.web_password_file, "LOADTEST_WEB_PASSWORD_FILE", SHORTEST), shell)
    if web_logins:
        raise UsageError(
            "--web-login has no password to check. Allowed: LOADTEST_WEB_PASSWORD_FILE, which turns the login on by "
            "itself. Next: set that, and leave --web-login out."
        )
    return None


def _say_status(response: Response) -> Response:
    """Set an error status if Locust refuses a start; Locust itself always answers 200."""
    if request.endpoint == START and response.status_code == 200 and response.is_json:  # noqa: PLR2004
        answer = response.get_json(silent=True)
        if isinstance(answer, dict) and answer.get("success") is False:
            response.status_code = _NOT_SERVED
    return response


def _plain(error: HTTPException) -> Response:
    """Answer requests without a page in the form of a refusal."""
    sentence = f"{request.path[:200]!r}: {error.description}"
    return Refusal(error.code or _NOT_SERVED, sentence).response() if error.code else current_app.make_response(error)

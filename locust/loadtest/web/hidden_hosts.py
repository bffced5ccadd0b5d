"""HiddenHosts: removes credentials from the loaded hosts wherever the web UI shows them.

Locust shows hosts in its page, its responses, its report and the names of its downloads. Its page sends the displayed
host with each start and each change of a User class. People who may start a test need not know the password of what it
loads.

Tested in tests/unit/web/test_hidden_hosts.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from jinja2.utils import htmlsafe_json_dumps
from werkzeug.datastructures import ImmutableMultiDict

from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from flask import Flask, Request, Response
    from locust.env import Environment

_TEXTS: Final = ("text/html", "application/json")
_FILE_NAME: Final = "Content-Disposition"


class HiddenHosts:
    """The hosts of one Environment.

    Args:
        environment: an Environment with a web UI.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def install(self, app: Flask) -> None:
        """Hide credentials in every response of this app."""
        app.after_request(self._hide)

    def take(self, request: Request) -> None:
        """Remove a displayed host from a start: it stands for the host that is already set."""
        shown = self._shown().values()
        if request.form.get("host") in shown:
            pairs = [(name, value) for name, value in request.form.items(multi=True) if name != "host"]
            request.form = ImmutableMultiDict(pairs)

    def take_change(self, request: Request, wanted: dict[str, Any]) -> None:
        """Remove a displayed host from a change of a User class, which then keeps the host that it has."""
        kind: Any = (self._environment.available_user_classes or {})[wanted["user_class_name"]]
        own = kind.host or self._environment.host
        if "host" in wanted and wanted["host"] == self._shown().get(str(own)):
            del wanted["host"]
            request.data = json.dumps(wanted).encode()

    def _shown(self) -> dict[str, str]:
        """Return the displayed form of each host that contains a secret."""
        kinds: list[Any] = [*self._environment.user_classes, *(self._environment.available_user_classes or {}).values()]
        named: list[Any] = [self._environment.host, *(kind.host for kind in kinds)]
        texts = {host: without_credentials(host) for host in named if isinstance(host, str)}
        return {host: shown for host, shown in texts.items() if shown != host}

    def _hide(self, response: Response) -> Response:
        hosts = self._shown()
        if hosts and response.mimetype in _TEXTS and not response.is_streamed:
            response.set_data(_without(response.get_data(as_text=True), hosts))
        if hosts and _FILE_NAME in response.headers:
            response.headers[_FILE_NAME] = _without(response.headers[_FILE_NAME], hosts)
        return response


def _without(text: str, hosts: dict[str, str]) -> str:
    for host, shown in hosts.items():
        for written in (host, json.dumps(host)[1:-1], str(htmlsafe_json_dumps(host))[1:-1]):
            text = text.replace(written, shown)
    return text

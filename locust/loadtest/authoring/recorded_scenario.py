"""RecordedScenario: requests in order as one task, from a HAR file, a Postman collection or a curl command.

All text from the source becomes a Python literal, except credentials: they come from TOKEN_FILE and ACCOUNTS_FILE.

Tested in tests/unit/authoring/test_har_scenario.py.
"""

from __future__ import annotations

import pprint
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, unquote_plus

import orjson

from loadtest import untrusted
from loadtest.authoring import code_text
from loadtest.authoring.drafted_secrets import PASSWORD, WEB_TOKEN, is_named, is_named_header, replaced
from loadtest.replaying import path_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_REQUESTS: Final = 2_000
FORM: Final = "application/x-www-form-urlencoded"
_MAX_VALUES: Final = 100_000
"""The maximum number of values in a body that is written as Python; a larger body is written as text."""
_WIDTH: Final = 100
_SHORTEST_THINK_S: Final = 0.05
_OWN_CALLS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_LOGIN: Final = re.compile(r"e?-?mail|user(_?name)?|login", re.IGNORECASE)
_UNSAFE: Final = re.compile(r'["\\{}]|[^ -~]')
"""Characters that must not occur in the f-string of a name."""
_NAMES: Final = ("name", "key", "field")
"""The members that hold the name in a JSON list of name-value pairs."""
_HELPERS: Final = ("accounts", "api_key", "basic_headers", "bearer_headers")
_HEAD: Final = '''\
"""{title}: the requests, in order.

This is a starting point: randomise values, and give each user its own data.{secrets}
"""

{modules}from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import {imports}

NAME = {name!r}


class Visitor(HttpUser):
    """Sends the recorded requests."""

    scenario = NAME
    wait_time = between(1, 3)
{on_start}
    @task
    def visit(self):
{calls}

REQUESTS = (
{pairs})
scenario = Scenario(name=NAME, user_classes=(Visitor,), requests=REQUESTS)
'''
_ON_START: Final = '''
    def on_start(self):
        """Take {what}."""
{lines}'''
_TAKEN: Final = {
    "self.account": ("an account from ACCOUNTS_FILE", "        self.account = random.choice(accounts())\n"),
    "self.token": ("the token from TOKEN_FILE", '        self.token = api_key("token").get("token", "")\n'),
}
"""The credentials that a user takes at its start, by the attribute that holds them."""
_SECRETS: Final = """ Tokens and API keys come
from TOKEN_FILE, user names and passwords from ACCOUNTS_FILE."""


@dataclass
class Recorded:
    """One request.

    Attributes:
        method: in upper case.
        target: path and query.
        headers: to send, except the body's Content-Type.
        body: a JSON value or a form's pairs, by the media type; otherwise text or bytes; None if there is none.
        media_type: of the body.
        fields: of a multipart form: name, file name or None, content, media type.
        think_s: the think time before it, in seconds.
        kept: values that are kept from its response: an expression of `answer`, by variable.
    """

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    media_type: str = ""
    fields: list[tuple[str, str | None, str, str]] = field(default_factory=list)
    think_s: float = 0.0
    kept: dict[str, str] = field(default_factory=dict)

    def take_body(self, text: bytes | str, media_type: str) -> None:
        """Set the body; parse it if it is JSON that can be written as a Python literal."""
        self.media_type = media_type
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        self.body = content.decode("utf-8", "surrogateescape") if _is_text(content) else content
        if is_json(media_type):
            try:
                untrusted.check_json(content, _MAX_VALUES)
                self.body = orjson.loads(content)
            except ValueError:
                self.media_type = media_type + "; charset=utf-8" if media_type == "application/json" else media_type
        elif media_type.startswith(FORM) and isinstance(self.body, str):
            pairs = parse_qsl(self.body, keep_blank_values=True)
            if len(pairs) == self.body.count("&") + 1:
                self.body = [[*pair] for pair in pairs]


def is_json(media_type: str) -> bool:
    """Return whether a media type is JSON."""
    return media_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))


def written(name: str, title: str, requests: Sequence[Recorded]) -> str:
    """Return the source of a scenario."""
    found = path_names.names_of(code_text.sample(request.target, "1") for request in requests)
    names = [_UNSAFE.sub("_", found[code_text.sample(request.target, "1")]) for request in requests]
    for request in requests:
        _use_account(request)
    calls = "\n".join(map(_call, requests, names))
    pairs = dict.fromkeys((each.method, path) for each, path in zip(requests, names, strict=True))
    taken = [_TAKEN[attribute] for attribute in _TAKEN if attribute in calls]
    on_start = _ON_START.format(what=" and ".join(what for what, _ in taken), lines="".join(line for _, line in taken))
    on_start = on_start if taken else ""
    helpers = [each for each in _HELPERS if f"{each}(" in on_start + calls]
    modules = [*(["random"] if "random." in on_start else []), *(["re"] if "re.search(" in calls else [])]
    modules += ["time"] if "time.sleep(" in calls else []
    plain = "".join(letter for letter in " ".join(title.split()) if letter.isprintable())[:100]
    return _HEAD.format(
        title=plain.replace('"', "'").replace("\\", "/") or name,
        secrets=_SECRETS if helpers else "",
        modules="".join(f"import {module}\n" for module in modules) + "\n" * bool(modules),
        imports=", ".join(["Scenario", *helpers]),
        name=name,
        on_start=on_start,
        calls=calls,
        pairs="".join(f'    ({method!r}, f"{{NAME}}{path}"),\n' for method, path in pairs),
    )


def _call(request: Recorded, name: str) -> str:
    own = request.method.lower() in _OWN_CALLS
    headers = " | ".join(_headers(request))
    arguments = [
        *([] if own else [repr(request.method)]),
        code_text.filled(repr(request.target)),
        *map(code_text.filled_argument, _body(request)),
        *([f"headers={headers}"] if headers else []),
        f'name=f"{{NAME}}{name}"',
    ]
    lines = ",\n".join(f"            {argument}" for argument in arguments)
    method = f"{request.method.lower()}(" if own else "request("
    think = f"        time.sleep({request.think_s:.2f})\n" if request.think_s >= _SHORTEST_THINK_S else ""
    keeps = "".join(f"        {variable} = {expression}\n" for variable, expression in request.kept.items())
    stop = "        if not answer.ok:\n            return\n" if keeps else ""
    return f"{think}        {'answer = ' if keeps else ''}self.client.{method}\n{lines},\n        )\n{stop}{keeps}"


def _headers(request: Recorded) -> Iterator[str]:
    plain = dict(request.headers)
    if request.media_type and not request.fields and not _is_usual(request):
        plain["Content-Type"] = request.media_type
    for name, value in request.headers.items():
        has_secret = is_named_header(name) or WEB_TOKEN.search(value)
        if not has_secret or code_text.sample(value, "") != value:
            continue  # comes from a response
        del plain[name]
        kind = value.partition(" ")[0].lower()
        is_own = name.lower() == "authorization"
        yield f"{kind}_headers()" if is_own and kind in ("basic", "bearer") else f"api_key({name!r})"
    if plain:
        yield code_text.filled(_literal(plain))


def _is_usual(request: Recorded) -> bool:
    """Return whether the client sets the body's media type by itself."""
    is_parsed = not isinstance(request.body, str | bytes)
    return is_parsed and request.media_type in ("application/json", FORM)


def _body(request: Recorded) -> Iterator[str]:
    if request.fields:
        parts = [(name, (file, content, kind)) for name, file, content, kind in request.fields]
        yield f"files={_literal(parts)}"
    elif is_json(request.media_type) and not isinstance(request.body, bytes) and not _is_unparsed(request):
        yield f"json={_literal(request.body)}"
    elif _is_form(request):
        yield f"data={_literal([tuple(pair) for pair in request.body])}"
    elif request.body is not None:
        yield f"data={_literal(request.body)}"


def _is_form(request: Recorded) -> bool:
    return request.media_type.startswith(FORM) and isinstance(request.body, list)


def _is_unparsed(request: Recorded) -> bool:
    return isinstance(request.body, str) and request.media_type.endswith("; charset=utf-8")


def _use_account(request: Recorded) -> None:
    """Replace the secrets in a body or query with an account from ACCOUNTS_FILE or the token from TOKEN_FILE."""
    request.target = _query_without_secrets(request.target)
    if request.fields:
        changed = _without_secrets({name: content for name, file, content, _ in request.fields if file is None})
        request.fields = [
            (name, file, content if file else changed[name], kind) for name, file, content, kind in request.fields
        ]
    elif _is_form(request):
        changed = _without_secrets(dict(request.body))
        marked = {name: value for name, value in changed.items() if code_text.sample(value, "") != value}
        request.body = [[name, marked.get(name, text)] for name, text in request.body]
    else:
        request.body = _without_secrets(request.body)


def _query_without_secrets(target: str) -> str:
    path, question, query = target.partition("?")
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        plain = unquote_plus(value)
        changed = _without_secrets({unquote_plus(name): plain})[unquote_plus(name)]
        pairs.append(pair if changed == plain else f"{name}{equals}{quote(changed, safe='')}")
    return WEB_TOKEN.sub(code_text.mark("self.token"), path) + question + "&".join(pairs)


def _without_secrets(value: Any, name: str = "") -> Any:
    """Return a value of a body with its secrets replaced by parts of an account or by the token.

    Args:
        value: a JSON value.
        name: the name of its member.
    """
    if isinstance(value, dict):
        label = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), "value")
        is_pair = "value" in value and label != "value"
        of_pair = {"value": _without_secrets({label: value["value"]})[label]} if is_pair else {}
        return {key: _without_secrets(each, str(key)) for key, each in value.items()} | of_pair | _account_in(value)
    if isinstance(value, list):
        return [_without_secrets(each, name) for each in value]
    is_own = _is_literal(value) and value not in {"", 0}  # otherwise it comes from a response, or is not a secret
    if is_own and (is_named(name) or WEB_TOKEN.fullmatch(str(value))):
        return code_text.mark("self.token")
    return _text_without_secrets(value) if isinstance(value, str) else value


def _text_without_secrets(text: str) -> str:
    return replaced(text, lambda name, value: _without_secrets({name: value})[name], code_text.mark("self.token"))


def _account_in(fields: dict[str, Any]) -> dict[str, str]:
    """Return the parts of an account for the fields that hold a user name and a password."""
    passwords = [name for name, value in fields.items() if PASSWORD.search(name) and _is_literal(value)]
    logins = [name for name, value in fields.items() if passwords and _LOGIN.fullmatch(name) and isinstance(value, str)]
    parts = {**dict.fromkeys(logins, "login"), **dict.fromkeys(passwords, "password")}
    return {name: code_text.mark(f"self.account.{part}") for name, part in parts.items()}


def _is_literal(value: Any) -> bool:
    """Whether a value is a text or number that does not come from a response."""
    is_one = isinstance(value, str | int) and not isinstance(value, bool)
    return is_one and code_text.sample(str(value), "") == str(value)


def _literal(value: object) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False).replace("\n", "\n            ")


def _is_text(content: bytes) -> bool:
    try:
        return content.decode().isprintable() or not re.search(rb"[\x00-\x08\x0e-\x1f]", content)
    except UnicodeDecodeError:
        return False

"""PostmanCollection: read a Postman collection, version 2.0 or 2.1, as requests in order.

Its variables are filled in. A variable that a test script sets from a response, `pm.environment.set("token",
pm.response.json().access)`, is taken from the response.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote, quote_plus, urlsplit

import orjson

from loadtest import untrusted
from loadtest.authoring import code_text
from loadtest.authoring.recorded_scenario import FORM, MAX_REQUESTS, Recorded
from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LARGEST_BYTES: Final = 64 * 1024 * 1024
_MAX_VALUES: Final = 2_000_000
_MAX_FILLED: Final = 16 * 1024 * 1024
"""The maximum length of all expanded variables together; variables that contain others can grow exponentially."""
_VARIABLE: Final = re.compile(r"\{\{([^{}]{1,100})\}\}")
_OF_PATH: Final = re.compile(r"/:([^/?#]+)(?=[/?#]|$)")
_SET: Final = re.compile(
    r"""\bset\(\s*["']([\w.-]{1,60})["']\s*,\s*(?:pm\.response\.json\(\)|\w{1,40})((?:\.\w{1,60}|\[\d{1,4}\]){1,8})\s*\)"""
)
_TIMES: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
_SAFE: Final = "!$%&'()*+,/:;=?@[]~"
_OF_THE_CLIENT: Final = frozenset({"content-length", "cookie"})
_KINDS: Final = {"json": "application/json", "xml": "application/xml", "html": "text/html", "text": "text/plain"}
_ALLOWED: Final = "a collection that Postman exported, version 2.0 or 2.1"


class PostmanCollection:
    """A collection.

    Attributes:
        title: its name.
        host: the base URL of its first request; None if it is unknown.
        requests: in order.
        notes: what could not be drafted, and why.

    Raises:
        UsageError: when it cannot be read, or has no requests.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        root = self._read()
        information = root.get("info")
        self.title = str(information.get("name", "")) if isinstance(information, dict) else ""
        self.notes: list[str] = []
        self.requests: list[Recorded] = []
        self.host: str | None = None
        self._left_chars = _MAX_FILLED
        self._variables = {
            str(each.get("key")): str(each.get("value") or "")
            for each in _list(root, "variable")
            if isinstance(each, dict) and each.get("value") not in (None, "")
        }
        for item, auth in _items(root, root.get("auth"), 0):
            name = " ".join(str(item.get("name", "")).split())[:100] or "a request"
            try:
                self._add(item, auth)
            except untrusted.WRONG_FORM as error:
                reason = str(error) if type(error) is ValueError else f"it is malformed ({type(error).__name__})"
                self.notes.append(f"{name}: {reason}")
            if len(self.requests) > MAX_REQUESTS:
                self._refuse(f"it holds more than {MAX_REQUESTS:,} requests")
        if not self.requests:
            self._refuse("; ".join(["none of its requests can be drafted", *self.notes[:5]]))

    def _read(self) -> dict[str, Any]:
        try:
            text = untrusted.read_file(self._path, _LARGEST_BYTES).removeprefix(b"\xef\xbb\xbf")
            untrusted.check_json(text, _MAX_VALUES)
            root = orjson.loads(text)
        except json.JSONDecodeError as error:
            self._refuse(f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})")
        except OSError as error:
            self._refuse(f"it cannot be read ({error.strerror})")
        except ValueError as error:
            self._refuse(str(error))
        if not isinstance(root, dict) or not isinstance(root.get("item"), list):
            self._refuse("line 1, column 1: it has no items")
        return root

    def _refuse(self, reason: str) -> NoReturn:
        raise UsageError(
            f"--postman {self._path} cannot be used: {reason}. Allowed: {_ALLOWED}. Next: correct it, or export it "
            "again."
        )

    def _add(self, item: Mapping[str, Any], auth: Any) -> None:
        asked = item["request"]
        asked = {"url": asked, "method": "GET"} if isinstance(asked, str) else asked
        url = asked["url"] if isinstance(asked["url"], str) else str(asked["url"]["raw"])
        target = self._target(self._path_variables(asked["url"], url))
        method = str(asked.get("method") or "GET").upper()
        if not re.fullmatch(r"[A-Z-]{1,30}", method):
            raise ValueError(f"{method[:30]!r} is not a method")
        headers = {
            self._filled(str(each["key"])): self._filled(str(each.get("value") or ""))
            for each in _list(asked, "header")
            if isinstance(each, dict) and not each.get("disabled") and str(each["key"]).lower() not in _OF_THE_CLIENT
        }
        kind = next((headers.pop(name) for name in list(headers) if name.lower() == "content-type"), "")
        request = Recorded(method, target, headers | self._authorization(asked.get("auth", auth)))
        if asked.get("body"):
            self._add_body(request, asked["body"], kind)
        self.requests.append(request)
        self._keep(request, item)

    def _target(self, url: str) -> str:
        """Return the path and query, and keep the host of the first URL that has one."""
        whole = self._filled(url)
        if whole.startswith("{{"):  # an unknown base URL
            whole = "http://" + whole[2:].replace("}}", "", 1)
            parts = urlsplit(whole)
        else:
            parts = urlsplit(whole if "://" in whole else f"http://{whole}")
            if not parts.hostname:
                raise ValueError(f"its URL {url[:60]!r} has no host")
            base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            self.host = self.host or base
            if base != self.host:
                raise ValueError(f"it goes to {base}, and the others to {self.host}")
        path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
        target = path + (f"?{parts.query}" if parts.query else "")
        if unknown := _VARIABLE.search(target):
            raise ValueError(f"the variable {unknown[1]} has no value")
        return quote(target, safe=_SAFE)

    @staticmethod
    def _path_variables(url: Any, text: str) -> str:
        """Return the URL with values in place of `:name` in its path."""
        variables = _list(url, "variable") if isinstance(url, dict) else ()
        values = {str(each["key"]): each["value"] for each in variables if isinstance(each, dict) and each.get("value")}
        return _OF_PATH.sub(lambda found: f"/{values[found[1]]}" if found[1] in values else found[0], text)

    def _filled(self, text: str) -> str:
        for _ in range(5):  # a variable may contain another
            self._left_chars -= sum(len(self._variables.get(name.strip(), "")) for name in _VARIABLE.findall(text))
            if self._left_chars < 0:
                self._refuse(f"its variables stand for more than {_MAX_FILLED:,} characters")
            before, text = text, _VARIABLE.sub(lambda found: self._variables.get(found[1].strip(), found[0]), text)
            if text == before:
                break
        return text

    def _authorization(self, auth: Any) -> dict[str, str]:
        kind = auth.get("type") if isinstance(auth, dict) else None
        if kind in (None, "noauth"):
            return {}
        found = auth.get(kind) or []
        values = (
            {str(each["key"]): str(each.get("value") or "") for each in found} if isinstance(found, list) else found
        )
        if kind in ("bearer", "oauth2"):
            return {"Authorization": f"Bearer {self._filled(str(values.get('token', values.get('accessToken', ''))))}"}
        if kind == "basic":
            return {"Authorization": "Basic of ACCOUNTS_FILE"}
        if kind == "apikey" and values.get("in", "header") == "header":
            return {str(values.get("key", "X-Api-Key")): self._filled(str(values.get("value", "")))}
        raise ValueError(f"its security, {kind}, has no draft")

    def _add_body(self, request: Recorded, body: Mapping[str, Any], kind: str) -> None:
        mode = body.get("mode")
        fields = [each for each in _list(body, str(mode)) if isinstance(each, dict) and not each.get("disabled")]
        if mode == "raw":
            language = str(body.get("options", {}).get("raw", {}).get("language", "text"))
            request.take_body(self._filled(str(body.get("raw") or "")), kind or _KINDS.get(language, "text/plain"))
        elif mode == "urlencoded":
            pairs = [(self._filled(str(each["key"])), self._filled(str(each.get("value") or ""))) for each in fields]
            request.take_body("&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in pairs), kind or FORM)
        elif mode == "formdata":
            request.fields = [self._field(each) for each in fields]
        elif mode == "graphql":
            found = body["graphql"]
            variables = orjson.loads(found.get("variables") or "{}")
            request.take_body(orjson.dumps({"query": found["query"], "variables": variables}), "application/json")
        elif mode is not None:
            raise ValueError(f"its body, {mode}, has no draft")

    def _field(self, each: Mapping[str, Any]) -> tuple[str, str | None, str, str]:
        name = self._filled(str(each["key"]))
        if each.get("type") == "file":
            return name, Path(str(each.get("src") or "file")).name, "example", "application/octet-stream"
        return name, None, self._filled(str(each.get("value") or "")), str(each.get("contentType") or "text/plain")

    def _keep(self, request: Recorded, item: Mapping[str, Any]) -> None:
        """Keep the values of the response that the collection's script keeps."""
        for event in _list(item, "event"):
            lines = event.get("script", {}).get("exec") or [] if event.get("listen") == "test" else []
            script = "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines)
            for name, path in _SET.findall(script):
                variable = f"the_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}"
                steps = [f"[{int(index)}]" if index else f"[{member!r}]" for member, index in _TIMES.findall(path)]
                request.kept[variable] = "answer.json()" + "".join(steps)
                self._variables[name] = code_text.mark(variable)


def _list(holder: Any, name: str) -> list[Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []


def _items(folder: Mapping[str, Any], auth: Any, depth: int) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Yield the requests of a folder and its subfolders, each with the authorization that applies to it."""
    for item in _list(folder, "item"):
        if isinstance(item, dict) and "request" in item:
            yield item, auth
        elif isinstance(item, dict) and depth < untrusted.DEEPEST:
            yield from _items(item, item.get("auth", auth), depth + 1)

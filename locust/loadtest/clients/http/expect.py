"""Expect: describes a good answer in one line of a scenario.

    self.client.get("/cart", expect=Expect(json={"status": "ok", "items.0.id": ...}, size=(20, 5_000)))

Any other answer counts as failed, with the class ``check``: a service may answer 200 and mean an error.

Tested in tests/unit/clients/http/test_expect.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from loadtest.clients.http.errors import CheckError, InvalidRequestError, StatusError
from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from loadtest.clients.http.response import Response

_SHOWN: Final = 60  # characters of a value in a message; a longer one is cut so that equal failures count together


@dataclass(frozen=True)
class Expect:
    """What an answer must look like; anything not specified is allowed.

    Attributes:
        status: One or several statuses; an expected error status counts as a success.
        header: Header fields by name, each with a text that its value contains.
        text: A text that the body contains.
        json: Values by their paths in the body: names and indices, separated by dots. ``...`` stands for any value.
        schema: What the body as JSON must be: a type that pydantic validates, such as a BaseModel or a dataclass.
        size: The least and the most bytes of the decoded body.
        varies: The body differs from one answer to the next. No answer fails because of this, but a run in which hardly
        any body differed is not trustworthy: it measured a cache, or one key.

    Raises:
        UsageError: Nothing is expected, or an expectation has a wrong type.
    """

    status: int | Collection[int] | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    json: Mapping[str, Any] = field(default_factory=dict)
    schema: Any = None
    size: tuple[int, int] | None = None
    varies: bool = False
    _validator: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the expectations before the load begins."""
        statuses = self._statuses
        problems = {
            f"status={self.status!r}": not all(type(one) is int and 100 <= one <= 599 for one in statuses),  # noqa: PLR2004
            f"header={self.header!r}": not _is_mapping(self.header, str),
            f"text={self.text!r}": not isinstance(self.text, str),
            f"json={self.json!r}": not _is_mapping(self.json, object),
            f"size={self.size!r}": self.size is not None and not _is_range(self.size),
            f"varies={self.varies!r}": not isinstance(self.varies, bool),
            "nothing": not (
                statuses or self.header or self.text or self.json or self.schema or self.size or self.varies
            ),
        }
        wrong = [what for what, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise UsageError(
                f"Expect({', '.join(wrong)}) cannot be checked. Allowed: status (100 to 599), mappings for header "
                "and json, text, schema, size (least, most), varies. Next: write, for example, "
                'Expect(json={"status": "ok"}).'
            )
        if self.schema is not None:
            try:
                object.__setattr__(self, "_validator", TypeAdapter(self.schema))
            except PydanticUserError as error:
                why = str(error).splitlines()[0]
                raise UsageError(
                    f"Expect(schema={self.schema!r}) cannot be checked: {why} Allowed: a type that pydantic validates. "
                    "Next: use a BaseModel or a dataclass."
                ) from error

    @staticmethod
    def check_call(*, stream: bool) -> None:
        """Refuse a call whose answer cannot be checked.

        Raises:
            InvalidRequestError: The answer is read as a stream.
        """
        if stream:
            raise InvalidRequestError("expect checks whole responses: leave stream or expect out")

    @property
    def _statuses(self) -> Collection[Any]:
        if self.status is None:
            return ()
        return self.status if isinstance(self.status, Collection) else (self.status,)

    def error_of(self, response: "Response") -> Exception | None:
        """Return why an answer failed, or why there is none; None when it is as expected."""
        error = response.error
        if error is not None and not isinstance(error, StatusError):
            return error
        if self.status is None and error is not None:
            return error
        if reason := self._unmet(response):
            return CheckError(reason)
        return None

    def _unmet(self, response: "Response") -> str:
        if self.status is not None and response.status_code not in self._statuses:
            return f"status {response.status_code}, expected {' or '.join(map(str, self._statuses))}"
        for name, value in self.header.items():
            if value not in response.headers.get(name, ""):
                return f"header {name} without {_shown(value)}"
        content = response.content or b""
        if self.size is not None and not self.size[0] <= len(content) <= self.size[1]:
            side = f"fewer than {self.size[0]:,}" if len(content) < self.size[0] else f"more than {self.size[1]:,}"
            return f"body of {side} bytes"
        if self.text and self.text not in (response.text or ""):
            return f"body without {_shown(self.text)}"
        return self._unmet_json(response) if self.json or self.schema is not None else ""

    def _unmet_json(self, response: "Response") -> str:
        try:
            document = response.json()
        except ValueError:
            return "body is not JSON"
        for path, expected in self.json.items():
            try:
                found = _at(document, path)
            except (LookupError, TypeError, ValueError):
                return f"json has no {path}"
            if expected is not ... and found != expected:
                return f"json {path} is {_shown(found)}, expected {_shown(expected)}"
        if self.schema is not None:
            try:
                self._validator.validate_python(document)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                return f"json {'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"
        return ""


def _is_mapping(mapping: Any, kind: type) -> bool:
    return isinstance(mapping, Mapping) and all(
        isinstance(key, str) and isinstance(value, kind) for key, value in mapping.items()
    )


def _is_range(size: Any) -> bool:
    return (
        isinstance(size, tuple)
        and len(size) == 2  # noqa: PLR2004
        and all(type(one) is int for one in size)
        and 0 <= size[0] <= size[1]
    )


def _at(document: Any, path: str) -> Any:
    for part in path.removeprefix("$.").split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

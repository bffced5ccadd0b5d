"""Cases for bodies and files."""

import io

from tests.unit.clients.http.sent.case import (
    A_FILE,
    BARE_FORM,
    FORM,
    JSON,
    NAMED,
    OCTETS,
    PLAIN,
    RAISED,
    UNCOUNTED,
    Case,
    chunks,
    files,
    form,
    post,
)

BODIES: dict[str, Case] = {
    "nothing": post("POST / content-length=0"),
    **{
        f"json {sent}": post(f"POST / {JSON} {sent}", json=value)
        for sent, value in {
            '{"a": 1}': {"a": 1},
            "0": 0,
            "false": False,
            "{}": {},
            "[]": [],
            "[1, 2]": (1, 2),
            '"\\\\u00fc"': "ü",
            '{"id": 12345678901234567890123}': {"id": 12345678901234567890123},
            '{"x": 0.1}': {"x": 0.1},
            '{"a": {"b": [null, true]}}': {"a": {"b": [None, True]}},
            '{"1": 2}': {1: 2},
        }.items()
    },
    "json None": post("POST / content-length=0", json=None),
    "json NaN": post(
        f'POST / {JSON} {{"x": NaN}}',
        json={"x": float("nan")},
        requests="raised",
        reason="RFC 8259, 6 has none; sent as FastHttpUser does, for the server to refuse",
    ),
    "json of a set": post("raised", json={1, 2}, fast=RAISED, requests=RAISED, reason=UNCOUNTED),
    "json of bytes": post("raised", json=b"x", fast=RAISED, requests=RAISED, reason=UNCOUNTED),
    "json and empty text": post(f'POST / {JSON} {{"a": 1}}', json={"a": 1}, data=""),
    "json and an empty form": post(f'POST / {JSON} {{"a": 1}}', json={"a": 1}, data={}),
    "json of another type": post(
        'POST / content-type=application/vnd+json {"a": 1}',
        json={"a": 1},
        headers={"Content-Type": "application/vnd+json"},
    ),
    "empty text": post("POST / content-length=0", data=""),
    "text": post(
        f"POST / {PLAIN} content-length=3 \\xc3\\xbcx",
        data="üx",
        requests="POST / content-length=3 \\xc3\\xbcx",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    "bytes": post(
        f"POST / {OCTETS} content-length=2 \\x00\\x01",
        data=b"\0\1",
        requests="POST / content-length=2 \\x00\\x01",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    **{
        f"form {sent}": post(
            f"POST / {FORM} content-length={len(sent)} {sent}",
            data=data,
            requests=f"POST / {BARE_FORM} content-length={len(sent)} {sent}",
            reason="the type has no parameters (URL standard, 5), and none is harmed by one; as FastHttpUser does",
        )
        for sent, data in {
            "a=1&b=x+y": {"a": "1", "b": "x y"},
            "a=%C3%BC": {"a": "ü"},
            "a=1": {"a": 1},
            "a=%FF": {"a": b"\xff"},
            "a=1%2B1": {"a": "1+1"},
        }.items()
    },
    "form of lists": post(
        f"POST / {FORM} content-length=7 a=1&a=2",
        data={"a": ["1", "2"]},
        fast=f"POST / {FORM} content-length=26 a=%5B%271%27%2C+%272%27%5D",
        requests=f"POST / {BARE_FORM} content-length=7 a=1&a=2",
        reason="URL standard, 5.2: a field for each value; Python's text of a list is nobody's wish",
    ),
    "form of pairs": post(
        f"POST / {FORM} content-length=7 a=1&a=2",
        data=[("a", "1"), ("a", "2")],
        fast=RAISED,
        requests=f"POST / {BARE_FORM} content-length=7 a=1&a=2",
        reason="as HttpUser takes it",
    ),
    "empty form": post(
        f"POST / {FORM} content-length=0",
        data={},
        fast="POST / content-length=0",
        requests="POST / content-length=0",
        reason="URL standard, 5.2: a form without fields is a form",
    ),
    "pieces": post(
        f"POST / {OCTETS} transfer-encoding=chunked 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n",
        data=chunks,
        requests="POST / transfer-encoding=chunked 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    "list of pieces": post(
        f"POST / {OCTETS} transfer-encoding=chunked 2\\r\\nab\\r\\n1\\r\\nc\\r\\n0\\r\\n\\r\\n",
        data=[b"ab", b"c"],
        fast=RAISED,
        requests=RAISED,
        reason="RFC 9112, 7.1",
    ),
    "file": post(
        f"POST / {OCTETS} content-length=5 filed",
        data=lambda: io.BytesIO(b"filed"),
        fast=f"POST / {OCTETS} transfer-encoding=chunked 5\\r\\nfiled\\r\\n0\\r\\n\\r\\n",
        requests="POST / content-length=5 filed",
        reason="RFC 9112, 6.2: a length that is known is better said",
    ),
    "number": post("raised", data=5, fast=RAISED, requests=RAISED, reason=UNCOUNTED),
}
FILES: dict[str, Case] = {
    "tuple": Case(
        (("POST", "/", {"files": {"f": ("n.txt", b"c", "text/plain")}}),),
        (form(A_FILE + "Content-Type: text/plain\\r\\n\\r\\nc"),),
        shown=("content-type",),
    ),
    "headers": Case(
        (("POST", "/", {"files": {"f": ("n.txt", b"c", "text/plain", {"X-A": "1"})}}),),
        (form(A_FILE + "Content-Type: text/plain\\r\\nX-A: 1\\r\\n\\r\\nc"),),
        shown=("content-type",),
    ),
    "none": Case((("POST", "/", {"files": {"f": None}}),), (form(),), shown=("content-type",)),
    "without type": files(
        A_FILE + "Content-Type: text/plain\\r\\n\\r\\nc", untyped=(A_FILE + "\\r\\nc",), files={"f": ("n.txt", b"c")}
    ),
    **{
        kind: files(
            NAMED + "Content-Type: application/octet-stream\\r\\n\\r\\nc", untyped=(NAMED + "\\r\\nc",), files=value
        )
        for kind, value in {"bytes": {"f": b"c"}, "text": {"f": "c"}, "file": lambda: {"f": io.BytesIO(b"c")}}.items()
    },
    "two": files(
        *(f'name="f"; filename="{n}.txt"\\r\\nContent-Type: text/plain\\r\\n\\r\\n{n}' for n in "ab"),
        untyped=tuple(f'name="f"; filename="{n}.txt"\\r\\n\\r\\n{n}' for n in "ab"),
        files=[("f", ("a.txt", b"a")), ("f", ("b.txt", b"b"))],
    ),
    "umlaut": files(
        'name="f"; filename="\\xc3\\xbc.txt"\\r\\nContent-Type: text/plain\\r\\n\\r\\nc',
        untyped=('name="f"; filename="\\xc3\\xbc.txt"\\r\\n\\r\\nc',),
        files={"f": ("ü.txt", b"c")},
    ),
    "with data": files(
        *(f'name="{name}"\\r\\n\\r\\n{value}' for name, value in ("a1", "b2", "b3", "d4")),
        A_FILE + "Content-Type: text/plain\\r\\n\\r\\nc",
        untyped=(
            *(f'name="{name}"\\r\\n\\r\\n{value}' for name, value in ("a1", "b2", "b3", "d4")),
            A_FILE + "\\r\\nc",
        ),
        files={"f": ("n.txt", b"c")},
        data={"a": "1", "b": ["2", "3"], "c": None, "d": 4},
    ),
}

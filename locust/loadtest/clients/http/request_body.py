"""The bodies of requests: what a scenario passes as data, json or files, turned into bytes and their header fields.

Tested in tests/unit/clients/http/test_request_body.py and test_porting.py.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from urllib3.fields import RequestField, guess_content_type
from urllib3.filepost import encode_multipart_formdata

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.json_codec import encode_json
from loadtest.clients.transport.deadlines import FOREVER_S

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
# The media types that FastHttpUser sends by default; a header of the scenario replaces them.
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_BYTES = {"Content-Type": "application/octet-stream"}
NO_FIELDS: Mapping[str, str] = {}


class Upload:
    """A request body that is sent in pieces: a file, or an iterable of bytes.

    Args:
        source: A binary file or an iterable of bytes.
        length: Its size in bytes if known; otherwise it is sent in chunks.
    """

    _PIECE_BYTES = 65536

    def __init__(self, source: Any, length: int | None) -> None:
        """Keep the source; nothing is read yet."""
        self.source = source
        self.length = length
        self._used = False

    def pieces(self) -> Iterator[bytes]:
        """The body's pieces, framed as chunks if the length is not known.

        Raises:
            InvalidRequestError: A piece is not bytes, or the source does not have the announced length.
        """
        self._used = True
        sent = 0
        for piece in self._raw_pieces():
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InvalidRequestError(f"the body yields {type(piece).__name__}; allowed are bytes")
            size = len(piece)
            sent += size
            if self.length is None and size:
                yield b"%x\r\n%b\r\n" % (size, piece)
            elif size:
                yield bytes(piece)
        if self.length is None:
            yield b"0\r\n\r\n"
        elif sent != self.length:
            raise InvalidRequestError(f"the body holds {sent} bytes, {self.length} were announced")

    def _raw_pieces(self) -> Iterator[bytes]:
        read: Callable[[int], bytes] | None = getattr(self.source, "read", None)
        if read is None:
            yield from self.source
            return
        left = self.length if self.length is not None else FOREVER_S
        while left > 0 and (piece := read(int(min(left, self._PIECE_BYTES)))):
            left -= len(piece)
            yield piece

    def rewind(self) -> bool:
        """Prepare the body to be sent again; False if that is impossible."""
        if not self._used:
            return True
        seek = getattr(self.source, "seek", None)
        if seek is None:
            return isinstance(self.source, list | tuple)
        try:
            seek(0)
        except (OSError, ValueError):
            return False
        return True


BodyBytes = bytes | Upload | None


def encode_body(data: Any, json: Any, files: Any) -> tuple[BodyBytes, Mapping[str, str]]:
    """The body's bytes, and the header fields that describe them.

    Args:
        data: bytes, str, a mapping or pairs for a form, a binary file or an iterable of bytes.
        json: A value that JSON can represent; used only if data is empty.
        files: A mapping or pairs of field to content, or to (file name, content[, type[, headers]]).

    Raises:
        InvalidRequestError: It cannot be encoded.
    """
    if files:
        return _encode_multipart(data, files)
    if json is not None and (data is None or not _holds_something(data)):
        try:
            return encode_json(json), _JSON
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"json={type(json).__name__} cannot be encoded: {error}") from error
    if data is not None and data not in (b"", ""):  # an empty form is data too, and is sent as such
        return _encode_data(data)
    return None, NO_FIELDS


def _holds_something(data: Any) -> bool:
    try:
        return bool(data)
    except ValueError:  # an array without a truth value
        return True


def _encode_data(data: Any) -> tuple[BodyBytes, Mapping[str, str]]:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), _BYTES
    try:
        if isinstance(data, str):
            return data.encode("utf-8"), _TEXT
        if isinstance(data, Mapping) or _is_pairs(data):
            return urlencode(data, doseq=True).encode("ascii"), _FORM
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"data of type {type(data).__name__} cannot be encoded: {error}") from error
    if hasattr(data, "read") or hasattr(data, "__iter__"):
        return Upload(data, _length_of(data)), _BYTES
    raise InvalidRequestError(
        f"data of type {type(data).__name__} cannot be sent; allowed are bytes, str, a mapping, a file, an iterable"
    )


def _is_pairs(data: Any) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(item, tuple) and len(item) == 2 for item in data)  # noqa: PLR2004


def _length_of(source: Any) -> int | None:
    """The bytes left to read of a file, or None if unknown."""
    try:
        position = source.tell()
        end = os.fstat(source.fileno()).st_size if hasattr(source, "fileno") else source.seek(0, os.SEEK_END)
        source.seek(position)
    except (AttributeError, OSError, ValueError):
        return _length_in_memory(source)
    return int(end - position) if end > position else None


def _length_in_memory(source: Any) -> int | None:
    try:
        position = source.tell()
        end = source.seek(0, os.SEEK_END)
        source.seek(position)
    except (AttributeError, OSError, ValueError):
        return None
    return int(end - position)


def _encode_multipart(data: Any, files: Any) -> tuple[bytes, Mapping[str, str]]:
    try:
        named = [_file_field(name, part) for name, part in _pairs(files) if part is not None]
        body, content_type = encode_multipart_formdata([*_form_fields(data), *named])
    except (TypeError, ValueError, AttributeError, UnicodeError, OSError) as error:
        raise InvalidRequestError(f"files cannot be encoded: {error}") from error
    return body, {"Content-Type": content_type}


def _pairs(fields: Any) -> list[tuple[Any, Any]]:
    return list(fields.items()) if isinstance(fields, Mapping) else list(fields or ())


def _form_fields(data: Any) -> Iterator[tuple[str, str | bytes]]:
    """The fields that accompany files: a list becomes a field per value, None is omitted."""
    for name, value in _pairs(data):
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None:
                yield str(name), each if isinstance(each, str | bytes) else str(each)


def _file_field(name: str, part: Any) -> RequestField:
    """A file of a form; without a name of its own it gets its field's."""
    file_name, content, content_type, headers = name, part, None, None
    if isinstance(part, tuple | list):
        file_name, content, content_type, headers = (*part, None, None)[:4]
    elif hasattr(part, "read"):
        file_name = os.path.basename(str(getattr(part, "name", name)))  # noqa: PTH119 -- a label, no path
    body = content.read() if hasattr(content, "read") else content
    field = RequestField(name, body, filename=file_name, headers=headers)
    field.make_multipart(content_type=content_type or guess_content_type(file_name))
    return field

"""The bodies of requests: what a scenario passes as data, json or files, turned into bytes and their header fields.

Tested in tests/unit/clients/http/test_client.py and test_porting.py.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from urllib3.filepost import encode_multipart_formdata

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.json_codec import encode_json
from loadtest.clients.transport.deadlines import FOREVER_S

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
# The types that FastHttpUser sends for a body that names none; a scenario's own header replaces them.
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_BYTES = {"Content-Type": "application/octet-stream"}
NO_FIELDS: Mapping[str, str] = {}


class Upload:
    """A request body that is sent in pieces: a file, or an iterable of bytes.

    Args:
        source: A binary file or an iterable of bytes.
        length: Its size in bytes where it is known; otherwise it is sent in chunks.
    """

    _PIECE_BYTES = 65536

    def __init__(self, source: Any, length: int | None) -> None:
        """Remember the source; nothing is read yet."""
        self._source = source
        self.length = length
        self._used = False

    def pieces(self) -> Iterator[bytes]:
        """The body's pieces, framed as chunks if the length is not known.

        Raises:
            InvalidRequestError: A piece is not bytes, or the source does not hold what it promised.
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
        read: Callable[[int], bytes] | None = getattr(self._source, "read", None)
        if read is None:
            yield from self._source
            return
        left = self.length if self.length is not None else FOREVER_S
        while left > 0 and (piece := read(int(min(left, self._PIECE_BYTES)))):
            left -= len(piece)
            yield piece

    def rewind(self) -> bool:
        """Make the body ready to be sent once more; False if it cannot be."""
        if not self._used:
            return True
        seek = getattr(self._source, "seek", None)
        if seek is None:
            return isinstance(self._source, list | tuple)
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
        json: A value that JSON can represent; used only if there is no data.
        files: As urllib3 takes multipart fields: a mapping of field to content or (file name, content[, type]).

    Raises:
        InvalidRequestError: It cannot be encoded.
    """
    if files:
        return _encode_multipart(data, files)
    if data is not None and data not in (b"", ""):  # an empty form is data too, and is sent as such
        return _encode_data(data)
    if json is not None:
        return _encode_json(json), _JSON
    return None, NO_FIELDS


def _encode_json(value: Any) -> bytes:
    try:
        return encode_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"json={type(value).__name__} cannot be encoded: {error}") from error


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
    """What is left to read of a file, or None if that is unknown."""
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
        pairs = list(data.items()) if isinstance(data, Mapping) else list(data or ())
        named = list(files.items()) if isinstance(files, Mapping) else list(files)
        body, content_type = encode_multipart_formdata(pairs + [(name, _file_field(part)) for name, part in named])
    except (TypeError, ValueError, AttributeError, UnicodeError) as error:
        raise InvalidRequestError(f"files cannot be encoded: {error}") from error
    return body, {"Content-Type": content_type}


def _file_field(part: Any) -> Any:
    """Read files; urllib3 wants their contents."""
    if isinstance(part, tuple):
        name, content, *rest = part
        return (name, content.read() if hasattr(content, "read") else content, *rest)
    if hasattr(part, "read"):
        return (os.path.basename(getattr(part, "name", "file")), part.read())  # noqa: PTH119 -- a label, no path
    return part

"""Content codings of response bodies: gzip, deflate and Brotli, whole or piece by piece, bounded.

Tested in tests/unit/clients/http/test_coding.py and test_hostile.py.
"""

import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]  # comes with Locust's own HTTP client

from loadtest.clients.http.errors import ProtocolError, TooLargeError

ACCEPTED = "gzip, deflate, br"
_GZIP_WBITS = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"


class _Inflater:
    """Decodes gzip and deflate; servers send deflate both with and without zlib's wrapper."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._engine = zlib.decompressobj(wbits)
        self._started = False
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        if self._ended:  # padding is not collected
            return b""
        try:
            decoded = self._engine.decompress(piece)
        except zlib.error:
            if self._started or self._wbits != zlib.MAX_WBITS:
                raise
            self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
            decoded = self._engine.decompress(piece)
        self._started = True
        while self._wbits == _GZIP_WBITS and (rest := self._rest()).startswith(_GZIP_MAGIC):  # a further gzip member
            self._engine = zlib.decompressobj(self._wbits)
            decoded += self._engine.decompress(rest)
        self._ended = self._engine.eof and (self._wbits != _GZIP_WBITS or len(self._rest()) >= len(_GZIP_MAGIC))
        return decoded

    def _rest(self) -> bytes:
        """What follows a complete member: another member, or padding, which the gzip tool also skips."""
        return self._engine.unused_data if self._engine.eof else b""

    def finished(self) -> bool:
        return self._engine.eof or not self._started


class _BrotliDecoder:
    def __init__(self) -> None:
        self._engine = brotli.Decompressor()
        self._started = False

    def feed(self, piece: bytes) -> bytes:
        self._started = True
        decoded: bytes = self._engine.process(piece)
        return decoded

    def finished(self) -> bool:
        return not self._started or bool(self._engine.is_finished())


_DECODERS: dict[str, Callable[[], _Inflater | _BrotliDecoder]] = {
    "gzip": lambda: _Inflater(_GZIP_WBITS),
    "x-gzip": lambda: _Inflater(_GZIP_WBITS),
    "deflate": lambda: _Inflater(zlib.MAX_WBITS),
    "br": _BrotliDecoder,
}


class Decoder:
    """Decodes one body.

    Args:
        encoding: The Content-Encoding field in lower case. An unknown coding leaves the body unchanged.
        limit_bytes: The most that the body may decode to.
    """

    def __init__(self, encoding: str, limit_bytes: float) -> None:
        """Prepare one decoder per coding, the one applied last first."""
        names = [name.strip() for name in encoding.split(",") if name.strip()]
        known = all(name in _DECODERS for name in names)
        self._stages = [_DECODERS[name]() for name in reversed(names)] if known else []
        self._limit_bytes = limit_bytes
        self._decoded_bytes = 0

    def feed(self, piece: bytes) -> bytes:
        """Decode the next piece.

        Raises:
            ProtocolError: The bytes are not valid in that coding.
            TooLargeError: The body decodes to more than the limit.
        """
        try:
            for stage in self._stages:
                if piece:
                    piece = stage.feed(piece)
        except (zlib.error, brotli.error) as error:
            raise ProtocolError(f"the response's body does not decode: {error}") from error
        self._decoded_bytes += len(piece)
        if self._decoded_bytes > self._limit_bytes:
            raise TooLargeError(f"the response's body decodes to more than {self._limit_bytes} bytes")
        return piece

    def finish(self) -> None:
        """Finish: no piece follows.

        Raises:
            ProtocolError: The encoded body is truncated.
        """
        if not all(stage.finished() for stage in self._stages):
            raise ProtocolError("the response's body does not decode: it ends too early")


def decode(encoding: str, body: bytes, limit_bytes: float) -> bytes:
    """Decode a whole body; raises as Decoder does."""
    decoder = Decoder(encoding, limit_bytes)
    step = 65536  # a small piece can grow a thousandfold, so the limit is checked after each
    decoded = b"".join(decoder.feed(body[at : at + step]) for at in range(0, len(body), step))
    decoder.finish()
    return decoded

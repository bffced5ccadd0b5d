"""A response's body that the scenario reads while it arrives."""

from collections.abc import Callable, Iterator

from loadtest.clients.http.body import Body
from loadtest.clients.http.coding import Decoder
from loadtest.clients.http.errors import HttpError


class BodyStream:
    """The decoded pieces of a body, to be iterated over once.

    Args:
        body: Where they come from.
        decoder: Undoes the content coding.
        classed: Turns what waiting and receiving raise into an HttpError.
        finish: Called once at the end, with whether the connection may serve another request.
    """

    def __init__(
        self,
        body: Body,
        decoder: Decoder,
        classed: Callable[[Exception], HttpError],
        finish: Callable[[bool], None],
    ) -> None:
        """Start with nothing read."""
        self._body = body
        self._decoder = decoder
        self._classed = classed
        self._finish: Callable[[bool], None] | None = finish

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, as they arrive.

        Raises:
            HttpError: The body broke off or is malformed; its class says how.
        """
        while self._finish is not None:
            piece = self._next()
            if piece:
                yield piece

    def _next(self) -> bytes:
        try:
            piece = self._body.read()
            if piece:
                return self._decoder.feed(piece)
            self._decoder.finish()
        except Exception as error:
            self._end(reusable=False)
            raise self._classed(error) from error
        except BaseException:
            self._end(reusable=False)
            raise
        self._end(reusable=self._body.reusable)
        return b""

    def _end(self, reusable: bool) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(reusable)

    def close(self) -> None:
        """Read no further; the connection is closed unless the body has been read to its end."""
        self._end(reusable=False)

    def __del__(self) -> None:
        """A stream that was dropped must not keep its connection."""
        self._end(reusable=False)

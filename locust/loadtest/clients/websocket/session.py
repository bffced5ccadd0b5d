"""The open session that ``client.websocket()`` returns; its messages are timed as they arrive.

A message that answers a round trip is recorded as a request. Any other message is an event of the session, as in
`loadtest.measuring.streams`: the figures are the time from the opening to the first event, the gap between two events,
and the length of the session by what ended it.

Tested in tests/unit/clients/websocket/test_client.py.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter, time, time_ns
from typing import TYPE_CHECKING, Any, Final

import gevent

from loadtest.clients.http.errors import (
    ClosedError,
    HttpError,
    InvalidRequestError,
    ReadTimeoutError,
    UserCodeError,
    interruption,
)
from loadtest.clients.json_codec import decode_any, encode_json
from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineExpired
from loadtest.clients.websocket.connection import MAX_MESSAGE_BYTES, WebSocketConnection, watch_timeouts
from loadtest.clients.websocket.errors import CLOSE_CODE, SessionError
from loadtest.measuring.labels import ENDED_BY, EVENT_GAP, FIRST_BYTE, FIRST_EVENT
from loadtest.measuring.stock_requests import mark_counted
from loadtest.measuring.users import note_failure, phase_of, scenario_of

if TYPE_CHECKING:
    from loadtest.clients.http.reporter import RequestReporter
    from loadtest.users.base import LoadUser

MAX_UNREAD: Final = 1_000
MAX_UNREAD_BYTES: Final = MAX_MESSAGE_BYTES
"""Maximum number of unread events, and their bytes or characters; beyond that, the oldest are counted and dropped."""
_DONE: Final = 1000
_GOING_AWAY: Final = 1001


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the server.

    Attributes:
        data: Its text or bytes.
        received_s: When it arrived, in seconds of ``time.perf_counter``.
    """

    data: str | bytes
    received_s: float

    def json(self) -> Any:
        """Its data parsed as JSON.

        Raises:
            json.JSONDecodeError: It is not JSON.
        """
        return decode_any(self.data)


Answers = Callable[[Message], bool]


class WebSocket:
    """An open session; one greenlet at a time waits on it.

    Attributes:
        subprotocol: The negotiated subprotocol, or None.
        last_message_s: When the last message arrived, in seconds of ``time.perf_counter``; at first, when the session
            began.
    """

    def __init__(
        self, user: "LoadUser", reporter: "RequestReporter", name: str, begun_s: float, timeout_s: float
    ) -> None:
        """Use ``client.websocket()``."""
        self.subprotocol: str | None = None
        self._user = user
        self._reporter = reporter
        self._name = name
        self._begun_s = begun_s
        self._timeout_s = timeout_s
        self._connection: WebSocketConnection
        self._unread: deque[Message] = deque()
        self._unread_bytes = 0
        self._last_event_s: float | None = None
        self._answers: Answers | None = None
        self._answer: Message | None = None
        self._is_counted = False  # the error that broke it
        self.last_message_s = begun_s

    def begin(self, connection: WebSocketConnection, subprotocol: str | None, open_s: float) -> None:
        """Take over a connection; record how long it took to open."""
        self._connection, self.subprotocol = connection, subprotocol
        self._part(FIRST_BYTE, self._begun_s, open_s, 0)

    @property
    def close_code(self) -> int | None:
        """The code with which the server closed; None while it has not."""
        return self._connection.close_code

    def take(self, data: str | bytes) -> None:
        """Count a message that has just arrived, and keep it for its reader."""
        message = Message(data, perf_counter())
        self.last_message_s = message.received_s
        if self._answers is not None and self._is_answer(message, self._answers):
            self._answer, self._answers = message, None
            return
        begun_s, phase = self._last_event_s, EVENT_GAP
        if begun_s is None:
            begun_s, phase = self._begun_s, FIRST_EVENT
        self._last_event_s = message.received_s
        self._part(phase, begun_s, message.received_s, _size(data))
        self._unread.append(message)
        self._unread_bytes += len(data)
        while len(self._unread) > MAX_UNREAD or (self._unread_bytes > MAX_UNREAD_BYTES and len(self._unread) > 1):
            self._next()

    def _is_answer(self, message: Message, answers: Answers) -> bool:
        try:
            return answers(message)
        except Exception as error:
            self._connection.fail(UserCodeError(f"{type(error).__name__}: {error}"))
            return False

    def send(self, message: Any, timeout_s: float | None = None) -> None:
        """Send a message without an answer: text, bytes, or any other value as JSON.

        Raises:
            SessionError: The session is over, or the server accepts no data; it is counted.
        """
        with self._watched():
            self._connection.send(_encoded(message), self._ends_s(timeout_s))
            self._check_open()

    def round_trip(
        self, message: Any, name: str, *, key: str | Answers = "key", timeout_s: float | None = None
    ) -> Message:
        """Send a message, wait for its answer, and count both as a request of the method ``MESSAGE``.

        Events may arrive before the answer. A late answer ends the session, since it could be mistaken for the next
        one.

        Args:
            message: As for ``send``.
            name: The name that it is recorded under.
            key: The member of JSON objects that has the same value in message and answer, or a function that tells
                whether a message is the answer.
            timeout_s: How long it may take; by default the user's ``network_timeout``.

        Raises:
            SessionError: There is no answer; it is counted.
            InvalidRequestError: The message has no such key.
        """
        answers = _same_key(message, key) if isinstance(key, str) else key
        data, ends_s = _encoded(message), self._ends_s(timeout_s)

        def exchange() -> Message:
            self._connection.receive()  # earlier messages are not the answer
            self._answers, self._answer = answers, None
            self._connection.send(data, ends_s)
            self._connection.wait_until(lambda: self._answer is not None, ends_s)
            if self._answer is None:
                raise self._reason()
            return self._answer

        return self._counted("MESSAGE", name, exchange)

    def ping(self, name: str | None = None, timeout_s: float | None = None) -> None:
        """Send a ping and wait for its pong, as a request of the method ``PING``, by default under the session's name.

        Raises:
            SessionError: There is no pong; it is counted.
        """
        ends_s = self._ends_s(timeout_s)

        def exchange() -> Message:
            connection = self._connection
            connection.ping(b"%d" % time_ns(), ends_s)
            connection.wait_until(lambda: connection.awaited_pong is None, ends_s)
            if connection.awaited_pong is not None:
                raise self._reason()
            return Message(b"", perf_counter())

        self._counted("PING", name or self._name, exchange)

    def receive(self, timeout_s: float | None = None) -> Message:
        """The next event.

        Raises:
            SessionError: None arrived in time, or none will; it is counted, unless the server ended the session
                normally.
        """
        with self._watched():
            self._connection.wait_until(lambda: bool(self._unread), self._ends_s(timeout_s))
            if not self._unread:
                raise self._reason()
            return self._next()

    def events(self, for_s: float = FOREVER_S) -> Iterator[Message]:
        """The events that arrive within a number of seconds, or until the server ends the session.

        Raises:
            SessionError: The session broke; it is counted.
        """
        ends_s = perf_counter() + for_s
        watch_timeouts(for_s)
        while perf_counter() < ends_s:
            with self._watched():
                try:
                    self._connection.wait_until(lambda: bool(self._unread), ends_s)
                except DeadlineExpired:
                    return
                if not self._unread:
                    if self._connection.closed_normally:
                        return
                    raise self._reason()
            yield self._next()

    def _next(self) -> Message:
        message = self._unread.popleft()
        self._unread_bytes -= len(message.data)
        return message

    def _ends_s(self, timeout_s: float | None) -> float:
        most_s = self._timeout_s if timeout_s is None else timeout_s
        if not most_s > 0:
            raise InvalidRequestError(f"timeout_s={timeout_s!r}; allowed are positive seconds, or None for the user's")
        watch_timeouts(most_s)
        return perf_counter() + most_s

    def _check_open(self) -> None:
        if self._connection.is_over:
            raise self._reason()

    def _reason(self) -> HttpError:
        """The reason why nothing more will arrive."""
        connection = self._connection
        if connection.failure is not None:
            return connection.failure
        said = f"{connection.close_code}" + (f", {connection.close_reason!r}" if connection.close_reason else "")
        if connection.closed_normally:
            return ClosedError(f"the server closed the session with the code {said}")
        return SessionError(CLOSE_CODE, f"the server closed the session with the code {said}")

    def _watched(self) -> "_Watch":
        return _Watch(self)

    def break_by(self, error: Exception) -> HttpError:
        """Abandon the session because of an exception raised while waiting."""
        failure = self._connection.classified(error)
        if isinstance(error, DeadlineExpired):
            failure = ReadTimeoutError("the server did not send what was awaited in time")
        self._connection.say_close(_GOING_AWAY)
        self._connection.fail(failure)
        return failure

    def _counted(self, method: str, name: str, exchange: Callable[[], Message]) -> Message:
        """Perform an operation that is recorded as a request, and count it."""
        self._connection.check_free()
        sent_s = perf_counter()
        intended_s, self._user.intended_start_s = self._user.intended_start_s, None
        times = (sent_s if intended_s is None else intended_s, sent_s)
        try:
            self._check_open()
            answer = exchange()
        except InvalidRequestError:
            raise
        except Exception as error:
            failure = self.break_by(error)
            self._is_counted = True
            raise self._failed(method, name, times, failure) from error
        except BaseException as cause:  # the user was stopped; a late answer is not an event
            self._failed(method, name, times, interruption(cause))
            self._is_counted = True
            raise
        series = self._user.recorder.series(scenario_of(self._user), method, name, phase_of(self._user))
        series.success(*times, answer.received_s, _size(answer.data))
        self._notify(method, name, times[1], answer, None)
        return answer

    def _failed(self, method: str, name: str, times: tuple[float, float], failure: HttpError) -> SessionError:
        """Count a failure, and return the error for the scenario."""
        series = self._user.recorder.series(scenario_of(self._user), method, name, phase_of(self._user))
        note_failure(self._user)
        error = SessionError(failure.error_class, str(failure))
        series.failure(*times, perf_counter(), 0, error.error_class, str(error))
        mark_counted(error)
        self._notify(method, name, times[1], None, error)
        return error

    def count_failure(self, error: Exception) -> SessionError:
        """Count once, as a request of the method ``CLOSE``, that the session broke outside of a round trip."""
        failure = self.break_by(error)
        if self._is_counted or (isinstance(failure, ClosedError) and self._connection.closed_normally):
            known = SessionError(failure.error_class, str(failure))
            mark_counted(known)
            return known
        self._is_counted = True
        now_s = perf_counter()
        return self._failed("CLOSE", self._name, (now_s, now_s), failure)

    def _notify(
        self, method: str, name: str, sent_s: float, answer: Message | None, error: SessionError | None
    ) -> None:
        """Notify Locust's listeners."""
        if len(self._user.recorder.listeners) > 1:
            service_s = (answer.received_s if answer else perf_counter()) - sent_s
            self._user.recorder.notify(
                request_type=method,
                name=name,
                response_time=service_s * 1000,
                response_length=_size(answer.data) if answer else 0,
                response=answer,
                context=self._user.context(),
                exception=error,
                start_time=time() - service_s,
                url=self._name,
            )

    def _part(self, phase: str, begun_s: float, end_s: float, received_bytes: int) -> None:
        self._reporter.part("GET", self._name, phase, begun_s, end_s, received_bytes)

    def end(self, cause: BaseException | None) -> None:
        """End the session the way its with-block ended, and count what ended it.

        Args:
            cause: The exception raised by the block, or None.
        """
        connection, ended = self._connection, ENDED_BY["user"]  # the user may be stopped during the close
        try:
            connection.receive()
            if connection.closed_normally:
                ended = ENDED_BY["server"]
            elif connection.is_over:
                ended = _phase_of(self.count_failure(self._reason()))
            elif cause is not None:  # the block raised, the user was stopped, or its own limit has passed
                connection.say_close(_GOING_AWAY)
                ended = ENDED_BY["timeout" if isinstance(cause, gevent.Timeout) else "user"]
            else:
                ended = self._close()
        finally:
            self._part(ended, self._begun_s, perf_counter(), 0)
            connection.close()

    def _close(self) -> str:
        """The closing handshake, a request of the method ``CLOSE``."""
        connection, ends_s = self._connection, self._ends_s(None)

        def exchange() -> Message:
            connection.say_close(_DONE)
            connection.wait_until(lambda: connection.is_over, ends_s)
            if not connection.closed_normally:
                raise self._reason()
            return Message(b"", perf_counter())

        try:
            self._counted("CLOSE", self._name, exchange)
        except SessionError as error:
            return _phase_of(error)
        return ENDED_BY["user"]


class _Watch:
    """Counts exceptions raised by a block of a session's own code."""

    def __init__(self, session: WebSocket) -> None:
        self._session = session

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Count an exception raised while waiting, and raise the error for the scenario.

        Raises:
            SessionError: In place of the exception.
        """
        if isinstance(error, Exception) and not isinstance(error, InvalidRequestError):
            raise self._session.count_failure(error) from error


def _phase_of(error: SessionError) -> str:
    """The class of a session that an error ended."""
    return ENDED_BY["timeout" if error.error_class.startswith("timeout") else "error"]


def _encoded(message: Any) -> str | bytes:
    if isinstance(message, str | bytes):
        return message
    try:
        return encode_json(message).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the message cannot be sent as JSON: {error}") from error


def _same_key(message: Any, member: str) -> Answers:
    """A function that recognises an answer by the value of a member."""
    if not isinstance(message, dict) or message.get(member) is None:
        raise InvalidRequestError(f"the message has no member {member!r}, which identifies its answer")
    wanted = message[member]

    def is_answer(received: Message) -> bool:
        try:
            found = received.json()
        except ValueError:
            return False
        return isinstance(found, dict) and found.get(member) == wanted

    return is_answer


def _size(data: str | bytes) -> int:
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode("utf-8", "replace"))

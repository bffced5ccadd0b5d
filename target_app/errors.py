"""Every error as JSON problem details (RFC 9457, application/problem+json).

The `type` of this API's own problems refers to their row on the home page. For problems that HTTP itself defines (no
such route, wrong method, body too large, …) it is "about:blank", as the RFC advises.
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from target_app import coin_queue, responses, store_errors
from target_app.metrics import Metrics

_RETRY_AFTER_S = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """One kind of error response of this API."""

    kind: str
    status: HTTPStatus
    title: str


PROBLEMS: dict[type[store_errors.StoreError], Problem] = {
    store_errors.UnknownKeyError: Problem("unknown-key", HTTPStatus.NOT_FOUND, "No such key"),
    store_errors.UnknownPathError: Problem("unknown-path", HTTPStatus.NOT_FOUND, "Nothing at this path"),
    store_errors.BadPathError: Problem("bad-path", HTTPStatus.BAD_REQUEST, "Not a JSONPath"),
    store_errors.WrongTypeError: Problem("wrong-type", HTTPStatus.CONFLICT, "A value of another type"),
    coin_queue.UnknownUserError: Problem("unknown-user", HTTPStatus.NOT_FOUND, "No such user"),
    coin_queue.QueueClosedError: Problem("queue-closed", HTTPStatus.CONFLICT, "The queue is closed"),
    coin_queue.QueueFullError: Problem("queue-full", HTTPStatus.CONFLICT, "The queue is full"),
    store_errors.BadValueError: Problem("bad-value", HTTPStatus.UNPROCESSABLE_ENTITY, "A value that Redis rejects"),
    store_errors.UnavailableError: Problem("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Redis does not serve"),
    store_errors.StoreError: Problem("unforeseen", HTTPStatus.INTERNAL_SERVER_ERROR, "The target failed"),
}

UNHANDLED = "unhandled"
"""The `kind` under which the metrics count an unhandled exception."""

_FAILED = "The target failed; see its log for the reason."


def install(app: Flask, metrics: Metrics) -> None:
    """Make the application respond to every error with problem details, and count the exceptions."""

    def store_error(error: store_errors.StoreError) -> Response:
        problem = PROBLEMS[type(error)]
        metrics.count_exception(problem.kind)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("unexpected reply from Redis", exc_info=error)
            return _problem(problem.status, problem.title, _FAILED, f"/#{problem.kind}")
        response = _problem(problem.status, problem.title, str(error), f"/#{problem.kind}")
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(_RETRY_AFTER_S)
        return response

    def unhandled(error: Exception) -> Response:
        metrics.count_exception(UNHANDLED)
        _log.error("unhandled exception", exc_info=error)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The target failed", _FAILED)

    app.register_error_handler(store_errors.StoreError, store_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, unhandled)


def _http_error(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    response = _problem(status, status.phrase, error.description or status.description)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value  # Allow, Location, Retry-After
    return response


def _problem(status: HTTPStatus, title: str, detail: str, kind: str = "about:blank") -> Response:
    body = {"type": kind, "title": title, "status": int(status), "detail": detail, "instance": request.path}
    return responses.json(body, status, "application/problem+json")

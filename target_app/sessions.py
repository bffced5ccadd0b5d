"""Sessions: access tokens that expire, and refresh tokens that can be used once.

Each sign-in begins a family of refresh tokens, a document that counts their generations. A refresh increments the count
and returns the next token. If a token is used again, it is rejected and its whole family revoked, because one of its
two holders must have stolen it (RFC 9700, section 4.14.2).
"""

import secrets
from typing import Any, NoReturn

import orjson
from flask import request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from target_app import accounts, extensions
from target_app.openapi import json_object
from target_app.store_errors import UnknownKeyError
from target_app.tokens import RefreshToken, TokenError

PAIR = json_object(access={"type": "string"}, refresh={"type": "string"}, expires_in_s={"type": "integer"})
"""The schema of what `begin` and `refresh` return."""
ACCESS = {"access": {"type": "string"}, "expires_in_s": {"type": "integer"}}
"""The schemas of what `access` returns."""


def access(account: str) -> dict[str, Any]:
    """Return an access token for the account with this key, and how long it is valid."""
    return {"access": extensions.tokens().access(account), "expires_in_s": extensions.tokens().access_lifetime_s}


def begin(account: str) -> dict[str, Any]:
    """Begin a session: return an access token, how long it is valid, and a refresh token."""
    family = secrets.token_hex(12)
    state = orjson.dumps({"generation": 0, "revoked": False})
    extensions.store().create(_family_key(account, family), state, extensions.tokens().refresh_lifetime_s + 1)
    return _pair(RefreshToken(account, family, 0))


def refresh(token: str) -> dict[str, Any]:
    """Return new tokens for a refresh token, which cannot be used again.

    Raises:
        Unauthorized: when it has expired, was used before, was revoked, or is not signed by this target.
    """
    try:
        old = extensions.tokens().read_refresh(token)
        key = _family_key(old.account, old.family)
        counted, revoked = extensions.store().together(
            ("JSON.NUMINCRBY", key, "$.generation", "1"), ("JSON.GET", key, "$.revoked")
        )
    except TokenError as error:
        refuse(str(error))
    except UnknownKeyError:
        refuse("The session is over: sign in again.")
    if orjson.loads(revoked) == [True]:
        refuse("The session was revoked: sign in again.")
    generation = int(float(orjson.loads(counted[0] if isinstance(counted, list) else counted.strip(b"[]"))))
    if generation != old.generation + 1:
        extensions.store().update(key, "$.revoked", b"true")
        refuse("The refresh token was used before, so its session is revoked: sign in again.")
    return _pair(RefreshToken(old.account, old.family, generation))


def account(room: str) -> str:
    """Return the key of the account of the request's access token.

    Raises:
        Unauthorized: when there is no token, or it has expired, is for another room, or is not signed by this target.
    """
    header = request.authorization
    if header is None or header.type != "bearer" or not header.token:
        refuse("An access token is missing: send Authorization: Bearer <token>.")
    try:
        found = extensions.tokens().account(header.token)
    except TokenError as error:
        refuse(str(error))
    if not found.startswith(accounts.key(room, "")):
        refuse("The token is for another part of this service.")
    return found


def refuse(reason: str) -> NoReturn:
    """Respond with 401 and the reason.

    Raises:
        Unauthorized: always.
    """
    raise Unauthorized(reason, www_authenticate=WWWAuthenticate("bearer", {"error": "invalid_token"}))


def _pair(statement: RefreshToken) -> dict[str, Any]:
    return {**access(statement.account), "refresh": extensions.tokens().refresh(statement)}


def _family_key(account: str, family: str) -> str:
    return f"{account}:session:{family}"

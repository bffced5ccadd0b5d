"""Tokens: statements signed by the target, with a limited lifetime.

TokenError          not a token of this target: modified, truncated, or of another kind
└── ExpiredTokenError    the token has expired
"""

import hashlib
from dataclasses import astuple, dataclass
from typing import Any

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer


class TokenError(Exception):
    """Not a token of this target."""


class ExpiredTokenError(TokenError):
    """The token has expired."""


@dataclass(frozen=True)
class RefreshToken:
    """The content of a refresh token.

    Attributes:
        account: the account's key.
        family: the sign-in that it originates from.
        generation: the number of refreshes since then.
    """

    account: str
    family: str
    generation: int


class Tokens:
    """Creates and reads tokens, signed with HMAC-SHA256."""

    def __init__(self, key: bytes, access_lifetime_s: int, refresh_lifetime_s: int) -> None:
        """Take the key and the lifetimes, in whole seconds."""
        self.access_lifetime_s = access_lifetime_s
        self.refresh_lifetime_s = refresh_lifetime_s
        self._access = _serializer(key, "access")
        self._refresh = _serializer(key, "refresh")

    def access(self, account: str) -> str:
        """Return an access token for an account."""
        return _text(self._access.dumps(account))

    def account(self, token: str) -> str:
        """Return the account of an access token.

        Raises:
            TokenError, ExpiredTokenError: it is not valid.
        """
        return str(_loaded(self._access, token, self.access_lifetime_s))

    def refresh(self, statement: RefreshToken) -> str:
        """Return a refresh token."""
        return _text(self._refresh.dumps(astuple(statement)))

    def read_refresh(self, token: str) -> RefreshToken:
        """Return the content of a refresh token.

        Raises:
            TokenError, ExpiredTokenError: it is not valid.
        """
        return RefreshToken(*_loaded(self._refresh, token, self.refresh_lifetime_s))


def _serializer(key: bytes, kind: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt=f"target_app {kind}", signer_kwargs={"digest_method": hashlib.sha256})


def _text(token: str | bytes) -> str:
    return token if isinstance(token, str) else token.decode()


def _loaded(serializer: URLSafeTimedSerializer, token: str, lifetime_s: int) -> Any:
    try:
        return serializer.loads(token, max_age=lifetime_s)
    except SignatureExpired as error:
        raise ExpiredTokenError(f"The token has expired: it was valid for {lifetime_s} s.") from error
    except BadSignature as error:
        raise TokenError("The token was not issued by this service.") from error

"""Accounts: who has signed up, kept for a day after, so that runs do not fill Redis for ever."""

import hashlib
from typing import Any

import orjson

from target_app import extensions
from target_app.store import PRIVATE
from target_app.store_errors import UnknownKeyError

KEPT_S = 24 * 3600
"""How long accounts, and all that belongs to them, are kept."""


def identity(text: str) -> str:
    """Return what an e-mail address or a user name is known by: equal whatever the case, of one length, no name."""
    return hashlib.blake2b(text.casefold().encode(), digest_size=16).hexdigest()


def key(room: str, account: str) -> str:
    """Return the key of an account's document, without the store's prefix: what tokens and sessions know it by."""
    return f"{PRIVATE}{room}:account:{account}"


def create(room: str, email: str, password: str, more: dict[str, Any]) -> str | None:
    """Make an account and return its key; None when the e-mail address has one already."""
    account = key(room, identity(email))
    document = {"email": email, "password": extensions.passwords().hash(password), **more}
    return account if extensions.store().create(account, orjson.dumps(document), KEPT_S) else None


def check(account: str, password: str) -> bool:
    """Return whether there is an account with this key, and the password is its own."""
    try:
        (kept,) = orjson.loads(extensions.store().read_path(account, "$.password"))
    except UnknownKeyError:
        kept = None
    return extensions.passwords().check(password, kept)

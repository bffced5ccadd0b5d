"""Accounts, kept for a day after sign-up, so that runs do not fill Redis."""

import hashlib
from typing import Any

import orjson

from target_app import extensions
from target_app.store import PRIVATE
from target_app.store_errors import UnknownKeyError

KEPT_S = 24 * 3600
"""How long accounts and their data are kept."""


def identity(text: str) -> str:
    """Return a case-insensitive hash of an e-mail address or a user name."""
    return hashlib.blake2b(text.casefold().encode(), digest_size=16).hexdigest()


def key(room: str, account: str) -> str:
    """Return the key of an account's document, without the store's prefix. Tokens contain this key.

    The keys of the account's other data, such as its sessions, begin with it and a colon.
    """
    return f"{PRIVATE}{room}:account:{account}"


def create(room: str, email: str, password: str, more: dict[str, Any]) -> str | None:
    """Create an account and return its key; None if the e-mail address already has an account."""
    account = key(room, identity(email))
    document = {"email": email, "password": extensions.passwords().hash(password), **more}
    return account if extensions.store().create(account, orjson.dumps(document), KEPT_S) else None


def check(account: str, password: str) -> bool:
    """Return whether there is an account with this key and this password."""
    try:
        (kept,) = orjson.loads(extensions.store().read_path(account, "$.password"))
    except UnknownKeyError:
        kept = None
    return extensions.passwords().check(password, kept)

"""Accounts of the sample target that a run's users create and its master removes.

Tested in tests/unit/scenarios/test_removal.py.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import orjson

from loadtest.scenarios._run_mark import mark_of
from loadtest.seeding.stores import RedisStore
from loadtest.settings.credentials import Account
from target_app import accounts
from target_app.store import KEY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable


def new_account(mark: str, domain: str) -> Account:
    """Return an account to create, whose address contains the mark of its run."""
    return Account(f"{secrets.token_hex(8)}@{mark}.{domain}", secrets.token_urlsafe(16))


def remove(redis_url: str, room: str, run_id: str, other_key: Callable[[str], str] | None = None) -> int:
    """Remove the accounts of a run with all their data.

    Args:
        redis_url: the Redis of the sample target.
        room: the part of the sample target that the accounts belong to.
        run_id: the run.
        other_key: returns a further key of an account, given its e-mail address.

    Returns:
        The number of keys.

    Raises:
        StackError: Redis is unreachable.
    """
    prefix, mark = KEY_PREFIX + accounts.key(room, ""), f"@{mark_of(run_id)}."
    with RedisStore(redis_url) as store:
        keys = [key.decode() for key in store.keys(f"{prefix}*")]
        account_of = {key: key[len(prefix) :].partition(":")[0] for key in keys}
        texts = store.ask(*(("JSON.GET", key, "$.email") for key in keys))
        emails = {
            account_of[key]: email
            for key, text in zip(keys, texts, strict=True)
            for email in orjson.loads(text or b"[]")
            if mark in email
        }
        others = [KEY_PREFIX + other_key(email) for email in emails.values()] if other_key else []
        return store.unlink([*(key for key in keys if account_of[key] in emails), *others])

"""Credentials: passwords, tokens and keys, each in a file of its own.

So they never appear in an environment, process list, log, record or report, nor in a Config, which only names the
files. Each worker reads the accounts and tokens of the service under test itself.
"""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from loadtest import untrusted
from loadtest.exceptions import UsageError
from loadtest.settings.config import Config
from loadtest.settings.data_file import DataFile
from loadtest.settings.json_values import JsonValues

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST: Final = 1024
"""The longest secret that `read_secret` accepts, in characters."""
MAX_ACCOUNTS: Final = 1_000_000
"""The maximum number of accounts in a file; each worker holds all of them."""
LARGEST_BYTES: Final = 256 * 1024 * 1024
"""The largest file of accounts."""
_LARGEST_TOKEN_BYTES: Final = 64 * 1024
_COLUMNS: Final = ["login", "password"]
_ACCOUNTS: Final = (
    "a CSV file with the header row login,password and an account on each line, or a JSON array of objects with these "
    "members"
)


@dataclass(frozen=True)
class Account:
    """A user of the service under test; its `repr` does not show the password."""

    login: str
    password: str = field(repr=False)


@cache
def accounts() -> tuple[Account, ...]:
    """Return the accounts of ACCOUNTS_FILE; none when it is not set.

    Raises:
        UsageError: when the file cannot be read, or is not such a CSV file.
    """
    path = Config.load().accounts_file
    return read_accounts(path) if path else ()


@cache
def bearer_headers() -> dict[str, str]:
    """Return the header with the token of TOKEN_FILE; none when it is not set.

    Raises:
        UsageError: when the file cannot be read, or does not hold one token.
    """
    path = Config.load().token_file
    return {"Authorization": f"Bearer {read_token(path)}"} if path else {}


@cache
def api_key(name: str) -> dict[str, str]:
    """Return a header, or a parameter of a query, with the token of TOKEN_FILE; none when it is not set.

    Raises:
        UsageError: when the file cannot be read, or does not hold one token.
    """
    path = Config.load().token_file
    return {name: read_token(path)} if path else {}


@cache
def api_key_cookie(name: str, *others: str) -> dict[str, str]:
    """Return the header of cookies: the others, and one with the token of TOKEN_FILE if that is set.

    Raises:
        UsageError: when the file cannot be read, or does not hold one token.
    """
    cookies = [*others, *(f"{key}={token}" for key, token in api_key(name).items())]
    return {"Cookie": "; ".join(cookies)} if cookies else {}


@cache
def basic_headers() -> dict[str, str]:
    """Return the header with the first account of ACCOUNTS_FILE; none when it is not set.

    Raises:
        UsageError: when the file cannot be read, or holds no account.
    """
    for account in accounts()[:1]:
        pair = base64.b64encode(f"{account.login}:{account.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def check(config: Config) -> None:
    """Check the files, so that a run that cannot sign in does not start.

    Raises:
        UsageError: one cannot be read, or has a wrong format.
    """
    if config.accounts_file:
        read_accounts(config.accounts_file)
    if config.token_file:
        read_token(config.token_file)


def read_accounts(path: Path) -> tuple[Account, ...]:
    """Read accounts from a CSV file with the columns login and password, or a JSON array of objects with these members.

    Raises:
        UsageError: a line is wrong, which is named without its content, or there are more than `MAX_ACCOUNTS`.
    """
    file = DataFile(path, f"ACCOUNTS_FILE={path}", LARGEST_BYTES)
    ending = path.name.lower().removesuffix(".gz")
    rows = _of_json(file) if ending.endswith(".json") else _of_table(file)
    found = tuple(itertools.islice(rows, MAX_ACCOUNTS + 1))
    if len(found) > MAX_ACCOUNTS:
        raise file.wrong(1, 1, f"more than {MAX_ACCOUNTS:,} accounts", _ACCOUNTS)
    if not found:
        raise file.wrong(1, 1, "no account", _ACCOUNTS)
    return found


def _of_table(file: DataFile) -> Iterator[Account]:
    rows = file.table(_ACCOUNTS)
    _, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    if sorted(names) != _COLUMNS:
        raise file.wrong(1, 1, "not the header row", _ACCOUNTS)
    for line, row in rows:
        if not all(row):
            raise file.wrong(line, 1, "not a login and a password", _ACCOUNTS)
        yield Account(**dict(zip(names, row, strict=True)))


def _of_json(file: DataFile) -> Iterator[Account]:
    for place, member in JsonValues(file, json.JSONDecoder().raw_decode, _ACCOUNTS):
        values = member.values() if isinstance(member, dict) and sorted(member) == _COLUMNS else [None]
        if not all(isinstance(value, str) and value for value in values):
            raise file.wrong(*place, "not an account", _ACCOUNTS)
        yield Account(**member)


def read_token(path: Path) -> str:
    """Read a token, the only word in the file.

    Raises:
        UsageError: there is none, or more than one word, or it is not allowed in a header.
    """
    words = DataFile(path, f"TOKEN_FILE={path}", _LARGEST_TOKEN_BYTES).text().split()
    if len(words) != 1 or not words[0].isascii() or not words[0].isprintable():
        held = f"{len(words)} words" if len(words) != 1 else "characters that no header can hold"
        raise UsageError(
            f"TOKEN_FILE={path} holds {held}. Allowed: a file that holds a token and nothing else. "
            "Next: write the token into it, without Bearer."
        )
    return words[0]


def read_secret(file: Path, name: str, shortest: int) -> str:
    """Return the secret in a one-line file.

    Args:
        file: its path.
        name: the setting that names it, for the error.
        shortest: the minimum number of characters.

    Raises:
        UsageError: when the file cannot be read, or the secret is too short, too long, or of several lines. The error
            does not show it.
    """
    allowed = f"Allowed: a readable file with {shortest} to {LONGEST} characters in one line."
    try:
        text = untrusted.read_file(file, 8 * LONGEST).decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{name}={file} cannot be read ({reason}). {allowed} Next: create it.") from error
    if not shortest <= len(text) <= LONGEST or not text.isprintable():
        raise UsageError(
            f"{name}={file} holds {len(text)} characters. {allowed} Next: put a secret of that length into it."
        )
    return text

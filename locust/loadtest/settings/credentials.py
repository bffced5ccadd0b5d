"""Credentials: accounts and tokens of the service under test, from files that a person keeps; never from code.

Passwords and tokens are read where they are used, by each worker. They are no part of a Config, so they come into no
record and no report.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError
from loadtest.settings.config import Config

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS = ["login", "password"]


@dataclass(frozen=True)
class Account:
    """Somebody who may use the service; the text of an account does not show the password."""

    login: str
    password: str = field(repr=False)


@cache
def accounts() -> tuple[Account, ...]:
    """Return the accounts of ACCOUNTS_FILE; none when it is not set.

    Raises:
        UsageError: the file cannot be read, or is not as it must be.
    """
    path = Config.load().accounts_file
    return read_accounts(path) if path else ()


@cache
def bearer_headers() -> dict[str, str]:
    """Return the header with the token of TOKEN_FILE; none when it is not set.

    Raises:
        UsageError: the file cannot be read, or does not hold one token.
    """
    path = Config.load().token_file
    return {"Authorization": f"Bearer {read_token(path)}"} if path else {}


def check(config: Config) -> None:
    """Check the files, so that a run is not begun that cannot sign in.

    Raises:
        UsageError: one of them cannot be read, or is not as it must be.
    """
    if config.accounts_file:
        read_accounts(config.accounts_file)
    if config.token_file:
        read_token(config.token_file)


def read_accounts(path: Path) -> tuple[Account, ...]:
    """Read accounts from a CSV file with the columns login and password.

    Raises:
        UsageError: naming the line that is wrong, without what is in it.
    """
    lines = _text("ACCOUNTS_FILE", path).splitlines()
    rows = csv.reader(lines)
    if next(rows, None) != _COLUMNS:
        raise _wrong("ACCOUNTS_FILE", path, "line 1 is not its head")
    found = []
    for row in rows:
        if len(row) != len(_COLUMNS) or not all(row):
            raise _wrong("ACCOUNTS_FILE", path, f"line {rows.line_num} has not a login and a password")
        found.append(Account(*row))
    if not found:
        raise _wrong("ACCOUNTS_FILE", path, "there is no account in it")
    return tuple(found)


def read_token(path: Path) -> str:
    """Read a token, the file's only word.

    Raises:
        UsageError: there is none, or more than one word.
    """
    words = _text("TOKEN_FILE", path).split()
    if len(words) != 1:
        raise UsageError(
            f"TOKEN_FILE={path} holds {len(words)} words. Allowed: a file that holds a token and nothing else. "
            "Next: write the token into it, without Bearer."
        )
    return words[0]


def _wrong(setting: str, path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{setting}={path} is not as it must be: {reason}. Allowed: a CSV file with the head "
        f"{','.join(_COLUMNS)} and an account on each line. Next: correct it."
    )


def _text(setting: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{setting}={path} cannot be read ({reason}). Allowed: a file that can be. Next: correct its path."
        ) from error

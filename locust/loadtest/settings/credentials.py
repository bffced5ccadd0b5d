"""Credentials: passwords, tokens and keys, each in a file of its own.

So they are in no environment, process list, log, record or report, and not in a Config either, which only names the
files. Accounts and tokens of the service under test are read where they are used, by each worker.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from loadtest.exceptions import UsageError
from loadtest.settings.config import Config

if TYPE_CHECKING:
    from pathlib import Path

LONGEST: Final = 1024
"""The longest secret that `read_secret` accepts, in characters."""
_COLUMNS = ["login", "password"]


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


def check(config: Config) -> None:
    """Check the files, so that no run starts that cannot sign in.

    Raises:
        UsageError: when one cannot be read, or has another format.
    """
    if config.accounts_file:
        read_accounts(config.accounts_file)
    if config.token_file:
        read_token(config.token_file)


def read_accounts(path: Path) -> tuple[Account, ...]:
    """Read accounts from a CSV file with the columns login and password.

    Raises:
        UsageError: naming the wrong line, without its content.
    """
    lines = _text("ACCOUNTS_FILE", path).splitlines()
    rows = csv.reader(lines)
    if next(rows, None) != _COLUMNS:
        raise _wrong("ACCOUNTS_FILE", path, "line 1 is not the header row")
    found = []
    for row in rows:
        if len(row) != len(_COLUMNS) or not all(row):
            raise _wrong("ACCOUNTS_FILE", path, f"line {rows.line_num} does not hold a login and a password")
        found.append(Account(*row))
    if not found:
        raise _wrong("ACCOUNTS_FILE", path, "it holds no account")
    return tuple(found)


def read_token(path: Path) -> str:
    """Read a token, the only word of the file.

    Raises:
        UsageError: when there is none, or more than one word.
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
        f"{setting}={path} is not a file of accounts: {reason}. Allowed: a CSV file with the header row "
        f"{','.join(_COLUMNS)} and an account on each line. Next: correct it."
    )


def _text(setting: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{setting}={path} cannot be read ({reason}). Allowed: a readable UTF-8 file. Next: correct its path."
        ) from error


def read_secret(file: Path, name: str, shortest: int) -> str:
    """Return the secret in a file of one line.

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
        with file.open(encoding="utf-8") as opened:
            text = opened.read(8 * LONGEST).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{name}={file} cannot be read ({reason}). {allowed} Next: create it.") from error
    if not shortest <= len(text) <= LONGEST or not text.isprintable():
        raise UsageError(
            f"{name}={file} holds {len(text)} characters. {allowed} Next: put a secret of that length into it."
        )
    return text

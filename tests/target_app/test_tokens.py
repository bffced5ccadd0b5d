"""Tokens are signed, expire, and are of one kind each."""

import time

import pytest

from target_app.tokens import ExpiredTokenError, RefreshToken, TokenError, Tokens

KEY = b"a key of this test"


def test_an_access_token_names_its_account() -> None:
    """The signed values are read back."""
    tokens = Tokens(KEY, 60, 60)
    assert tokens.account(tokens.access("ada")) == "ada"


def test_a_refresh_token_names_account_family_and_generation() -> None:
    """The signed values are read back."""
    statement = RefreshToken("ada", "f", 3)
    tokens = Tokens(KEY, 60, 60)
    assert tokens.read_refresh(tokens.refresh(statement)) == statement


def test_a_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its lifetime a token is refused, and the error names the lifetime."""
    tokens = Tokens(KEY, 5, 60)
    token = tokens.access("ada")
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 7)
    with pytest.raises(ExpiredTokenError, match="valid for 5 s"):
        tokens.account(token)


def test_a_token_that_is_not_signed_here_is_refused() -> None:
    """Changed or truncated tokens, and those with another key or of the other kind, are refused."""
    tokens, others = Tokens(KEY, 60, 60), Tokens(b"another key", 60, 60)
    token = tokens.access("ada")
    kind = tokens.refresh(RefreshToken("ada", "f", 0))
    for wrong in (token[:-1], "x" + token, token[3:], "", "a.b.c", "é", others.access("ada"), kind):
        with pytest.raises(TokenError):
            tokens.account(wrong)


def test_a_token_does_not_hold_the_key() -> None:
    """The signing key does not appear in a token."""
    assert KEY.decode() not in Tokens(KEY, 60, 60).access("ada")

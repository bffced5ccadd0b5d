"""Passwords are kept as scrypt hashes only."""

import time

from target_app.passwords import Passwords

PASSWORDS = Passwords(10)


def test_only_the_right_password_fits() -> None:
    """A hash matches one password; without an account no password matches."""
    kept = PASSWORDS.hash("right one")
    checked = [PASSWORDS.check("right one", kept), PASSWORDS.check("wrong", kept), PASSWORDS.check("right one", None)]
    assert checked == [True, False, False]


def test_a_hash_is_scrypts_with_a_salt_and_without_the_password() -> None:
    """Two hashes of a password differ, and contain the cost."""
    kept = [PASSWORDS.hash("right one") for _ in range(2)]
    assert kept[1] != kept[0]
    assert [text.startswith("scrypt:1024:8:1$") for text in kept] == [True, True]
    assert "right one" not in kept[0]


def test_the_cost_is_paid_for_unknown_accounts_too() -> None:
    """The response time does not reveal whether an account exists: at least half of a hash's time is spent."""
    passwords = Passwords(15)
    kept = passwords.hash("right one")
    passwords.check("", None)  # makes the decoy hash, once

    def took_s(hashed: str | None) -> float:
        begin_s = time.process_time()
        passwords.check("wrong", hashed)
        return time.process_time() - begin_s

    assert took_s(None) > took_s(kept) / 2

"""Passwords: only their scrypt hashes are stored."""

import secrets

from werkzeug.security import check_password_hash, generate_password_hash

_BLOCK_SIZE = 8
_PARALLEL = 1


class Passwords:
    """Hashes and checks passwords with scrypt (RFC 7914), at one cost and with a salt for each."""

    def __init__(self, cost: int) -> None:
        """Set the cost. A hash takes about 128 * 8 * 2**cost bytes of memory, and a proportional time.

        Args:
            cost: scrypt's N is 2**cost.
        """
        self._method = f"scrypt:{2**cost}:{_BLOCK_SIZE}:{_PARALLEL}"
        self._decoy: str | None = None

    def hash(self, password: str) -> str:
        """Return a hash, which includes its method and salt."""
        return generate_password_hash(password, self._method)

    def check(self, password: str, kept: str | None) -> bool:
        """Return whether a password matches a stored hash.

        Args:
            password: the password to check.
            kept: the hash; None for an unknown account. That takes as long, so the time reveals nothing.
        """
        if kept is None:
            self._decoy = self._decoy or self.hash(secrets.token_hex())
        return check_password_hash(kept or self._decoy or "", password) and kept is not None

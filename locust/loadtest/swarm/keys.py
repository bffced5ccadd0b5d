"""Keys: the two CURVE key pairs that master and workers derive from the one secret they share.

Tested in tests/unit/swarm/test_sockets.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import zmq
from zmq.utils import z85

SHORTEST: Final = 32
"""Characters of the shortest secret: letters and digits of that length are 190 bits."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair in Z85, as ZeroMQ wants it."""

    public: bytes
    secret: bytes

    @classmethod
    def of(cls, secret: str, role: str) -> KeyPair:
        """Derive a role's key pair; BLAKE2b keeps the roles apart and the secret unknown."""
        key: bytes = z85.encode(hashlib.blake2b(secret.encode(), digest_size=32, person=role.encode()).digest())
        return cls(zmq.curve_public(key), key)


@dataclass(frozen=True, slots=True)
class Keys:
    """Both sides' keys. Each side knows the other's public key, and admits nobody else."""

    master: KeyPair
    worker: KeyPair

    @classmethod
    def of(cls, secret: str) -> Keys:
        """Derive the keys from what the file holds."""
        return cls(KeyPair.of(secret, "loadtest master"), KeyPair.of(secret, "loadtest worker"))

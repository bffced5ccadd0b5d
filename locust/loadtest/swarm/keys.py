"""Keys: the two CURVE key pairs that master and workers derive from their shared secret.

Tested in tests/unit/swarm/test_sockets.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import zmq
from zmq.utils import z85

SHORTEST: Final = 32
"""The minimum length of the secret, in characters; at this length, letters and digits hold 190 bits."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair in Z85 encoding, the form that ZeroMQ expects."""

    public: bytes
    secret: bytes

    @classmethod
    def of(cls, secret: str, role: str) -> KeyPair:
        """Derive a role's key pair. BLAKE2b keeps the roles apart and does not reveal the secret."""
        key: bytes = z85.encode(hashlib.blake2b(secret.encode(), digest_size=32, person=role.encode()).digest())
        return cls(zmq.curve_public(key), key)


@dataclass(frozen=True, slots=True)
class Keys:
    """Both sides' key pairs. Each side knows the other's public key and accepts no other."""

    master: KeyPair
    worker: KeyPair

    @classmethod
    def of(cls, secret: str) -> Keys:
        """Derive the keys from the secret, the content of the key file."""
        return cls(KeyPair.of(secret, "loadtest master"), KeyPair.of(secret, "loadtest worker"))

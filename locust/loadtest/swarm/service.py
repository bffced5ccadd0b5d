"""What master and workers do together: a service has a side in each process, and the same four verbs in all of them.

Measuring, pacing and feeding are services. They know neither sockets nor Locust's runner: a `Link` sends their
messages, and a `Swarm` (see `loadtest.swarm.session`) tells them what happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.swarm.messages import Kind

Payload = TypeVar("Payload")


class Service(Protocol):
    """One side of a service. The peers of a master are its workers, the peer of a worker is its master."""

    def begin(self) -> None:
        """A run begins; on a worker, its users are about to start."""

    def joined(self, peer: str) -> None:
        """A peer is there, or there again."""

    def lost(self, peer: str) -> None:
        """A peer is gone: it left, its connection closed, or it was silent for too long."""

    def drain(self) -> None:
        """The run ends: start nothing more, and bring what is under way to its end."""


class Link(Protocol):
    """How a service reaches its peers."""

    def on(self, kind: Kind[Payload], handle: Callable[[str, Payload], None], *, concurrent: bool = False) -> None:
        """Have each message of a kind handled, with its sender; concurrently where handling may take long."""

    def send(self, kind: Kind[Payload], payload: Payload, peer: str | None = None) -> None:
        """Send a message to a peer, or to every one."""

    def peers(self) -> list[str]:
        """Return the peers that are there."""

    def is_connected(self, peer: str) -> bool:
        """Return whether a peer's connection stands."""

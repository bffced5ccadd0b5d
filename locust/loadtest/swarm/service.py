"""Service: what master and workers do together. A service has a side in each process, with the same four verbs.

Measuring, pacing and feeding are services. They know neither sockets nor Locust's runner: a `Link` sends their
messages, and a `Swarm` (see `loadtest.swarm.session`) calls the verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.swarm.messages import Kind

Payload = TypeVar("Payload")


class Service(Protocol):
    """One process's side of a service. A master's peers are its workers; a worker's only peer is its master."""

    def begin(self) -> None:
        """A run begins. On a worker, its users are about to start."""

    def joined(self, peer: str) -> None:
        """A peer has connected or reconnected."""

    def lost(self, peer: str) -> None:
        """A peer is lost: it left, its connection closed, or it was silent for too long."""

    def drain(self) -> None:
        """The run ends: start nothing new, and finish what is in progress."""


class Link(Protocol):
    """How a service reaches its peers."""

    def on(self, kind: Kind[Payload], handle: Callable[[str, Payload], None], *, concurrent: bool = False) -> None:
        """Handle each message of a kind, given its sender and payload; concurrently if handling may take long."""

    def send(self, kind: Kind[Payload], payload: Payload, peer: str | None = None) -> None:
        """Send a message to one peer, or to all peers if `peer` is None."""

    def peers(self) -> list[str]:
        """Return the names of the connected peers."""

    def is_connected(self, peer: str) -> bool:
        """Return whether a peer's connection is open."""

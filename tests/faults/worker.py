"""A worker with injected faults: its connection to the master, and the bound of its lost measurements."""

import contextlib
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from math import inf

import gevent
from gevent.event import Event
from gevent.server import StreamServer

KILLED_WORKER_LOSES_S = 2.5
"""The current second, and what a busy machine delays its last delta by."""
WAKES_S = 0.5
"""How long a resumed worker takes to read the responses that arrived during its pause."""
RECOVERY_S = 15.0
"""A worker whose pause or cut ended so long before the run has sent everything."""


class Cable:
    """The path of one worker to the master, which can be cut: nothing passes then, and neither end notices."""

    def __init__(self, port: int) -> None:
        """Lay it to the master's port."""
        self._port = port
        self._sockets: set[socket.socket] = set()
        self._whole = Event()
        self._whole.set()
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = self._server.server_port

    def cut(self) -> None:
        """Cut it."""
        self._whole.clear()

    def mend(self) -> None:
        """Mend it."""
        self._whole.set()

    def tear(self) -> None:
        """Close the connections; the next one works."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self, worker: socket.socket, _address: object) -> None:
        self._whole.wait()
        try:
            master = socket.create_connection(("127.0.0.1", self._port))
        except OSError:
            return
        with master:
            self._sockets |= {master, worker}
            back = gevent.spawn(self._carry, master, worker)
            self._carry(worker, master)
            back.join()
            self._sockets -= {master, worker}

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._whole.wait()
                other.sendall(data)
        self._whole.wait()
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Remove it."""
        self.mend()
        self._server.stop(timeout=0)


@dataclass
class Worker:
    """A worker, its cable, and the faults of the present run that may lose measurements.

    Attributes:
        hurt_until: when its pause or cut ended, in seconds since the epoch; infinite while it lasts, 0 without one.
        pauses: start and end of each pause, in seconds since the epoch.
        killed_at: when it was killed, in seconds since the epoch.
        leaving: whether it was told to end, or killed.
    """

    process: subprocess.Popen[bytes]
    cable: Cable
    hurt_until: float = 0.0
    pauses: list[tuple[float, float]] = field(default_factory=list)
    killed_at: float | None = None
    leaving: bool = False

    def may_lack(self, start_at: float, ended_at: float) -> tuple[float, float]:
        """Return the period whose measurements may be lost, given where the record says that it begins."""
        if self.killed_at is not None and not self.hurt_until:
            # A referee that waits for a core may read the worker's last requests after it was killed.
            return max(start_at, self.killed_at - KILLED_WORKER_LOSES_S), inf
        is_hurt = self.killed_at is not None or self.hurt_until > ended_at - RECOVERY_S
        # A request sent before a pause and answered during it is measured after it.
        held = [began_at - WAKES_S for began_at, ended in self.pauses if began_at <= start_at <= ended + WAKES_S]
        return min([start_at, *held]), inf if is_hurt else start_at

    def pause(self, duration_s: float) -> None:
        """Stop its process; `heal` resumes it."""
        self.hurt_until = inf
        self.pauses.append((time.time(), time.time() + duration_s))
        self.signal(signal.SIGSTOP)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def heal(self) -> None:
        """End its pause and mend its cable."""
        self.cable.mend()
        self.signal(signal.SIGCONT)
        self.hurt_until = min(self.hurt_until, time.time())

    @property
    def alive(self) -> bool:
        """Whether its process runs and was not asked to end."""
        return not self.leaving and self.process.poll() is None

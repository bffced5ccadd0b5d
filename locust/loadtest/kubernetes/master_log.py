"""MasterLog: shows the master's output, including its progress line, as it arrives.

kubectl loses the connection when an API server is replaced or a proxy closes it as idle. It is then reopened after the
last line.

Tested in tests/kubernetes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from loadtest.progress import printable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from loadtest.kubernetes.kubectl import Kubectl

_AGAIN_S: Final = 1.0
_REST_S: Final = 30.0


class MasterLog:
    """Shows the log of a container until it is told that the container ended.

    Args:
        kubectl: of the namespace.
        pod: the pod's name.
        container: that of the container.
        show: gets each line.
    """

    def __init__(self, kubectl: Kubectl, pod: str, container: str, show: Callable[[str], object]) -> None:
        self._kubectl = kubectl
        self._words = ("logs", pod, f"--container={container}", "--timestamps")
        self._show = show
        self._last = ""
        self._ended = threading.Event()
        self._reading: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Show the remaining lines; the container has ended."""
        self._ended.set()
        self._thread.join(_REST_S)
        if self._reading is not None:
            self._reading.kill()

    def _follow(self) -> None:
        while not self._ended.is_set():
            self._copy("--follow")
            self._ended.wait(_AGAIN_S)
        self._copy()

    def _copy(self, *words: str) -> None:
        since = [f"--since-time={self._last}"] if self._last else []  # of its second: lines may come twice
        last = self._last
        with self._kubectl.opened(*self._words, *since, *words) as self._reading:
            for line in self._reading.stdout or ():
                at, _, text = line.decode(errors="replace").rstrip("\n").partition(" ")
                if at > last:
                    self._show(printable(text))
                    self._last = at
            self._reading.communicate()

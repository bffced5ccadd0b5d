"""Limits of the load generator itself, which say nothing about the service.

They have their own error class, `GENERATOR`, and a run that hits one of them is not trustworthy.

Tested by tests/unit/clients/transport/test_endpoint.py.
"""

from __future__ import annotations

import errno
import os
from typing import Final

_LIMITS: Final = {
    errno.EMFILE: "this process may not open more files: raise the limit (ulimit -n) or add a worker",
    errno.ENFILE: "this machine cannot open more files: raise fs.file-max or add a machine",
    errno.EADDRNOTAVAIL: (
        "this machine has no free local port or address for it: keep connections alive, widen "
        "net.ipv4.ip_local_port_range, or add a machine"
    ),
    errno.ENOBUFS: "this machine has no memory left for sockets: raise net.ipv4.tcp_mem or add a machine",
    errno.ENOMEM: "this machine has no memory left: give the worker more, or add a machine",
}


def reached(error: BaseException) -> str:
    """Return which limit of the generator caused an error, with advice; empty if none did."""
    return _LIMITS.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def out_of_files() -> str:
    """Return why no more files can be opened; empty if one can.

    A resolver that cannot open its files only reports an unknown name.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return reached(error)
    return ""

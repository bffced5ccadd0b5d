"""Check a container's health for Compose: exit 0 if 127.0.0.1:PORT serves PATH with status 200.

Run as `python -IS healthcheck.py PORT PATH`. It uses plain sockets because it shares the cores with the load
generator: importing an HTTP library every few seconds would cost several times as much.
"""

# ruff: noqa: INP001 -- a program of its own

import socket
import sys

TIMEOUT_S = 2


def answers(port: int, path: str) -> bool:
    """Return whether the server answers with status 200 within the timeout."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            return b" 200 " in connection.recv(32)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not answers(int(sys.argv[1]), sys.argv[2]))

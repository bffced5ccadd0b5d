"""A process that sends one small message after another over the workers' link.

python -m tests.link_floods PORT KIND
"""

import sys
import time

import msgpack
import zmq


def send_for_a_second(port: int, kind: str) -> None:
    """Send messages of a kind, as a worker that has not joined."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.setsockopt(zmq.IDENTITY, b"w")
        socket.connect(f"tcp://127.0.0.1:{port}")
        message, end_s = msgpack.packb((kind, None, "w")), time.monotonic() + 1.5
        while time.monotonic() < end_s:
            socket.send(message)


if __name__ == "__main__":
    send_for_a_second(int(sys.argv[1]), sys.argv[2])

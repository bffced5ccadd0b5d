"""A queue of known capacity, over HTTP: a number of servers; each request occupies one of them for the same time.

The times at which servers serve requests are computed, first come, first served, and each response is sent at its time.
So the capacity is exactly servers / service time, whatever the timers' accuracy.
"""

import argparse
import asyncio
import heapq

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Queue(asyncio.Protocol):
    """One connection."""

    service_s: float
    free_at_s: list[float]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Queue each request; they have no body and arrive whole."""
        loop = asyncio.get_running_loop()
        for _ in range(data.count(b"\r\n\r\n")):
            end_s = max(loop.time(), self.free_at_s[0]) + self.service_s
            heapq.heapreplace(self.free_at_s, end_s)
            loop.call_at(end_s, self.answer)

    def answer(self) -> None:
        """Respond, if the client is still connected."""
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def serve(port: int, servers: int, service_s: float) -> None:
    """Serve until killed."""
    Queue.free_at_s, Queue.service_s = [0.0] * servers, service_s
    server = await asyncio.get_running_loop().create_server(Queue, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("servers", type=int)
    parser.add_argument("service_s", type=float)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.servers, arguments.service_s))

"""A Redis Cluster of six nodes with RedisJSON, which a test may reshard and break."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gevent

from loadtest.local.process import free_port
from tests.redis_harness import PrivateRedis, private_redis

SLOTS = 1 << 14
NODE_TIMEOUT_MS = 2_000


class Cluster:
    """Three primaries with a replica each.

    Attributes:
        nodes: the servers, the primaries first.
        url: of the first one, as this product's users name it.
    """

    def __init__(self, nodes: list[PrivateRedis], bus_ports: list[int]) -> None:
        self.nodes = nodes
        self.url = f"{nodes[0].url}?cluster=true"
        first, *others = nodes
        for number in range(3):
            limits = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            nodes[number].admin.execute_command("CLUSTER", "ADDSLOTSRANGE", *limits)
        for node, bus_port in zip(others, bus_ports[1:], strict=True):
            first.admin.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus_port)
        self.ids = [node.admin.execute_command("CLUSTER", "MYID").decode() for node in nodes]
        self.wait(lambda: all(self._info(node)["cluster_known_nodes"] == "6" for node in nodes))
        for number in range(3):
            nodes[number + 3].admin.execute_command("CLUSTER", "REPLICATE", self.ids[number])
        self.wait(lambda: all(self._info(node)["cluster_state"] == "ok" for node in nodes))
        self.wait(lambda: all(len(one[2:]) == 2 for one in first.admin.execute_command("CLUSTER", "SLOTS")))
        self.wait(lambda: all(node.admin.info("replication")["master_link_status"] == "up" for node in nodes[3:]))
        self.allow_silence(60_000)  # on a busy machine no node may be declared dead

    def allow_silence(self, timeout_ms: int) -> None:
        """Set the silence after which a node counts as dead."""
        for node in self.nodes:
            if node.process.exit_code is None:
                node.admin.config_set("cluster-node-timeout", timeout_ms)

    @staticmethod
    def _info(node: PrivateRedis) -> dict[str, str]:
        return node.admin.execute_command("CLUSTER INFO")

    @staticmethod
    def wait(condition: Callable[[], object]) -> None:
        """Wait for something whose duration depends on how busy the machine is."""
        until_s = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until_s
            gevent.sleep(0.05)

    def calls(self, command: str) -> int:
        """How often the primaries have executed a command, by their own count; an aborted EXEC executes nothing."""
        found = [node.admin.info("commandstats").get(f"cmdstat_{command}", {}) for node in self.nodes[:3]]
        return sum(each.get("calls", 0) - each.get("failed_calls", 0) for each in found)

    def tries_again(self) -> int:
        """How often the primaries have answered TRYAGAIN."""
        found = [node.admin.info("errorstats").get("errorstat_TRYAGAIN", {}) for node in self.nodes[:3]]
        return sum(each.get("count", 0) for each in found)

    def migrate(self, slot: int) -> Iterator[None]:
        """Move a slot to the next primary as redis-cli reshards; yields after each key, then ends."""
        source = slot * 3 // SLOTS
        target = (source + 1) % 3
        old, new = self.nodes[source], self.nodes[target]
        new.admin.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        old.admin.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        while keys := old.admin.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            old.admin.execute_command("MIGRATE", "127.0.0.1", new.port, keys[0], 0, 5_000)
            yield
        for node in (new, old, *self.nodes[:3]):
            node.admin.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])


@contextmanager
def running_cluster(redis_url: str, folder: Path) -> Iterator[Cluster]:
    """The cluster, with the RedisJSON that the Redis at the URL has."""
    with ExitStack() as servers:
        nodes, bus_ports = [], []
        for number in range(6):
            bus_ports.append(free_port())
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
                       "--cluster-port", str(bus_ports[-1]), "--repl-diskless-sync-delay", "0",
                       "--repl-ping-replica-period", "1")  # fmt: skip
            (folder / str(number)).mkdir()
            nodes.append(servers.enter_context(private_redis(redis_url, folder / str(number), *options)))
        yield Cluster(nodes, bus_ports)

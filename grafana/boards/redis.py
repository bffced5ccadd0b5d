"""Redis: the target's store, from its own metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards.frame import board
from boards.panels import colored, curves, figure, limits
from boards.queries import curve, now, quantile, rate

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

HITS, MISSES = rate("redis_keyspace_hits_total"), rate("redis_keyspace_misses_total")
HIT_RATIO = f"{HITS} / ({HITS} + {MISSES} > 0)"
CPU = f"{rate('redis_cpu_user_seconds_total')} + {rate('redis_cpu_sys_seconds_total')}"
USED, MAX = "max(redis_memory_used_bytes)", "max(redis_memory_max_bytes)"
JSON_DOCUMENTS = 'sum(redis_keys_count{key="loadtest:document:*"})'


def now_row() -> list[Any]:
    """The current state of Redis."""
    return [
        figure("Up", "1 when Redis answers its exporter.", "none", now("max(redis_up)", "up")).thresholds(
            limits(1, below=True)
        ),
        figure("Commands", "Commands per second.", "ops", now(rate("redis_commands_processed_total"), "commands")),
        figure(
            "Memory",
            "Memory in use as a share of the limit above which writes are refused. Red from 90 %.",
            "percentunit",
            now(f"{USED} / ({MAX} > 0)", "used"),
        )
        .thresholds(limits(0.9))
        .no_value("no limit"),
        figure(
            "CPU",
            "CPU of the Redis process. Commands run on one core: at 100 % it is saturated.",
            "percentunit",
            now(CPU, "cpu"),
        ).thresholds(limits(0.9)),
        figure(
            "Clients",
            "Connections, and those that wait in a blocking command.",
            "none",
            now("max(redis_connected_clients)", "connected"),
            now("max(redis_blocked_clients)", "blocked"),
        ),
        figure(
            "JSON documents",
            "Keys of the sample data's JSON documents, counted every 10 s.",
            "none",
            now(JSON_DOCUMENTS, "keys"),
        ),
    ]


def commands_row() -> list[Any]:
    """Redis' commands and their durations."""
    return [
        curves(
            "Commands",
            "Commands per second, by command.",
            "ops",
            curve(f"{rate('redis_commands_total', by='cmd')} > 0", "{{cmd}}"),
            stacked=True,
        ),
        curves(
            "p99 by command",
            "99 % of a command's calls took Redis at most this long, without the network and without queueing. "
            "Redis counts in powers of two: the true value may be as low as half of it.",
            "µs",
            curve(
                quantile(0.99, "redis_commands_latencies_usec", "", "cmd"),
                "{{cmd}}",
            ),
        ),
        curves(
            "Mean by command",
            "Mean time that Redis spent in a command: exact, but it does not show the tail.",
            "s",
            curve(
                f"{rate('redis_commands_duration_seconds_total', by='cmd')}"
                f" / ({rate('redis_commands_total', by='cmd')} > 0)",
                "{{cmd}}",
            ),
        ),
        curves(
            "Hit ratio",
            "Share of the key look-ups that found a key.",
            "percentunit",
            curve(HIT_RATIO, "hits"),
            span=6,
        ).max(1),
        curves(
            "CPU",
            "CPU of the Redis process. Commands run on one core: at 100 % it is saturated.",
            "percentunit",
            curve(CPU, "cpu"),
            span=6,
        ),
        curves(
            "Slow commands",
            "Entries of the slow log: commands that took more than 10 ms.",
            "short",
            curve("max(redis_slowlog_length)", "entries"),
            span=6,
        ),
        curves(
            "Last slow command",
            "How long the last command of the slow log took.",
            "s",
            curve("max(redis_last_slow_execution_duration_seconds)", "took"),
            span=6,
        ),
    ]


def data_row() -> list[Any]:
    """Redis' data and clients."""
    return [
        colored(
            curves(
                "Memory",
                "Memory in use, and the limit above which writes are refused.",
                "bytes",
                curve(USED, "used"),
                curve(MAX, "limit"),
                span=6,
            ),
            {"limit": "red"},
        ),
        curves(
            "Evictions",
            "Keys per second that Redis evicted for lack of memory, and that expired.",
            "ops",
            curve(rate("redis_evicted_keys_total"), "evicted"),
            curve(rate("redis_expired_keys_total"), "expired"),
            span=6,
        ),
        curves(
            "Keys",
            "Keys in all databases, and those of the sample data by kind, counted every 10 s: JSON documents, hashes, "
            "plain strings, and what the run's users write.",
            "short",
            curve("sum(redis_db_keys)", "all"),
            curve("sum by (key) (redis_keys_count)", "{{key}}"),
            span=6,
        ),
        curves(
            "Clients",
            "Connections, and those that wait in a blocking command.",
            "short",
            curve("max(redis_connected_clients)", "connected"),
            curve("max(redis_blocked_clients)", "blocked"),
            span=6,
        ),
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "redis",
        "The target's Redis: commands and their times, memory, hits, clients, keys.",
        {"Now": now_row(), "Commands": commands_row(), "Data and clients": data_row()},
        chosen=(),
    )

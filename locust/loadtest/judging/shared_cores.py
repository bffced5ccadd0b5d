"""Shared cores: what a run's figures mean when the service under test runs on the load generator's machine.

This is not a violation, because most runs on a developer's machine are like that. But every report states it, with
figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.measuring.health import MASTER
from loadtest.settings import hosts

if TYPE_CHECKING:
    from loadtest.measuring.record import RunRecord


def note(record: RunRecord) -> str:
    """Return a sentence with the CPU share of each; empty if the service runs elsewhere or nothing was measured."""
    loaded = (record.context.get("target") or {}).get("hosts", ())
    if not any(map(hosts.local_port, loaded)):
        return ""
    mean: dict[str, float] = next((one["mean"] for one in record.workers if one["subject"] == MASTER), {})
    if not mean.get("machine_cpu_ratio"):
        return ""
    cores = (record.context.get("host") or {}).get("cores")
    shared = f"the {cores} cores of its machine" if cores else "its machine"
    said = f"the service shares {shared} with the load generator; the cores were {mean['machine_cpu_ratio']:.0%} busy"
    if not mean.get("target_cpu_ratio"):
        return said + _waits(record)
    generator = max(0.0, mean["machine_cpu_ratio"] - mean["target_cpu_ratio"] - mean["others_cpu_ratio"])
    return (
        f"{said}: {mean['target_cpu_ratio']:.0%} by the service, {generator:.0%} by the generator and the run's "
        f"stores, {mean['others_cpu_ratio']:.0%} by other processes" + _waits(record)
    )


def _waits(record: RunRecord) -> str:
    means = [one["mean"] for one in record.workers if one["subject"] != MASTER and one["mean"].get("turns_per_s")]
    delay_s = max((mean["run_delay_ratio"] / mean["turns_per_s"] for mean in means), default=0.0)
    return f"; a worker waited {delay_s * 1000:.2f} ms for a core per time slice" if delay_s else ""

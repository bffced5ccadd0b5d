"""The observations of a process about itself, and their sum over a run."""

import gc
import time

import gevent
import pytest

from loadtest.measuring import health as health_module
from loadtest.measuring import machine
from loadtest.measuring.cgroup import Groups
from loadtest.measuring.health import Health, HealthProbe, Watch


def probed(busy: object, seconds: float = 1.0) -> Health:
    """The observations of a second in which something runs at the same time."""
    probe = HealthProbe()
    probe.start()
    try:
        gevent.sleep(0.1)
        probe.take()
        running = gevent.spawn(busy)
        gevent.sleep(seconds)
        running.join()
        return probe.take()
    finally:
        probe.stop()


def test_a_blocked_event_loop_is_noticed() -> None:
    """A call that blocks for 0.4 s shows as event-loop lag and as CPU time."""

    def block() -> None:
        until_s = time.thread_time() + 0.4
        while time.thread_time() < until_s:
            pass

    began_s, cpu_s = time.perf_counter(), time.process_time()
    health = probed(block)
    mean = (time.process_time() - cpu_s) / (time.perf_counter() - began_s)  # little on a busy machine
    assert health.loop_lag_s >= 0.3
    assert health.cpu_ratio >= 0.8 * mean > 0


def test_stalls_at_equal_intervals_are_seen_in_full() -> None:
    """Stalls of 90 ms every half second are a p95 of 65 ms; sampled every 50 ms, only their last 50 ms would show."""
    probe, watch = HealthProbe(), Watch()
    probe.start()
    gevent.sleep(0)
    probe.take()
    began_s = time.perf_counter()
    for _ in range(6):
        until_s = time.perf_counter() + 0.09
        while time.perf_counter() < until_s:
            pass
        gevent.sleep(0.41)
    health = probe.take()
    probe.stop()
    watch.add("worker 0", health, time.perf_counter() - began_s, users=1)
    [observed] = watch
    assert observed.lag_s(0.95) > 0.052


def test_a_restart_forgets_a_delay_that_began_before_it() -> None:
    """A block of the event loop that began before the run is not counted."""
    probe = HealthProbe()
    probe.start()
    gevent.sleep(0.06)
    until_s = time.perf_counter() + 0.4
    while time.perf_counter() < until_s:
        pass
    probe.restart()
    gevent.sleep(0.01)
    lag_s = probe.take().loop_lag_s
    probe.stop()
    assert lag_s < 0.3


def test_an_idle_process_is_calm() -> None:
    """An idle process uses little CPU, few descriptors and few ports, and sees no clock step."""
    health = probed(lambda: None)
    assert health.cpu_ratio < 0.5
    assert 0 < health.descriptors_ratio < 0.5
    assert 0 <= health.ports_ratio < 0.9
    assert health.clock_step_s < 0.5
    assert health.throttled_ratio <= 1.0
    assert 0 < health.memory_ratio < 1


def test_garbage_collections_are_timed() -> None:
    """A collection is recorded with its duration; once the probe has stopped, none is."""
    before = list(gc.callbacks)
    keep = [[number] for number in range(200_000)]
    health = probed(gc.collect)
    assert 0 < health.gc_pause_s <= 60.0
    assert health.gc_ratio > 0
    assert len(keep) == 200_000
    assert gc.callbacks == before


def test_a_step_of_the_wall_clock_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the wall clock moves against the monotonic one, the difference is reported."""
    probe = HealthProbe()
    real = time.time
    monkeypatch.setattr(health_module.time, "time", lambda: real() - 7.0)
    assert pytest.approx(probe.take().clock_step_s, abs=0.5) == 7.0


def test_throttling_is_a_share_of_the_interval(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The throttled time of the process's cgroups is divided by the interval, and is at most 1."""
    (tmp_path / "membership").write_text("0::/")
    stat = tmp_path / "cpu.stat"
    stat.write_text("nr_periods 5\nthrottled_usec 0\n")
    monkeypatch.setattr(health_module, "Groups", lambda: Groups(tmp_path / "membership", tmp_path))
    probe = HealthProbe()
    time.sleep(0.05)
    stat.write_text("nr_periods 5\nthrottled_usec 25000\n")
    assert 0.05 < probe.take().throttled_ratio <= 0.5
    stat.write_text("nr_throttled 2\nthrottled_usec 999000000\n")
    assert probe.take().throttled_ratio == 1.0


def test_the_network_is_per_second_of_the_interval(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the traffic of all interfaces except loopback; one that disappears subtracts nothing."""
    counts = tmp_path / "dev"
    monkeypatch.setattr(machine, "_INTERFACES", counts)

    def write(received: int, sent: int) -> None:
        counts.write_text(
            f"Inter-|\n face |\n    lo: 9 {received} 0 0 0 0 0 0 {received}\n  eth0:{received} 1 0 0 0 0 0 0 {sent} 1\n"
        )

    write(1_000, 500)
    probe = HealthProbe()
    write(201_000, 100_500)
    found = probe.take()
    assert found.received_bytes_per_s == pytest.approx(2 * found.sent_bytes_per_s)
    assert found.sent_bytes_per_s > 0
    write(0, 0)
    assert probe.take().received_bytes_per_s == 0


def test_a_watch_sums_up_each_process() -> None:
    """Each process has its seconds, the mean by time and the maximum of each figure; idle time is left out."""
    watch = Watch()
    watch.add("worker 0", Health(cpu_ratio=0.25), 1.0, users=1)
    watch.add("worker 0", Health(cpu_ratio=0.75), 3.0, users=1)
    watch.add("worker 0", Health(cpu_ratio=1.0), 9.0, users=0)
    watch.add("master", Health(), 1.0, users=1)
    worker, master = watch.summary()
    assert (worker["subject"], worker["seconds"], master["subject"]) == ("worker 0", 4.0, "master")
    assert (worker["mean"]["cpu_ratio"], worker["highest"]["cpu_ratio"]) == (0.625, 0.75)


def test_the_longest_saturated_period_is_kept() -> None:
    """A value below the limit ends a period; the longest one is kept with its length and mean."""
    watch = Watch()
    for cpu_ratio in (0.95, 0.5, 0.90, 1.0, 0.89, 0.99):
        watch.add("worker 0", Health(cpu_ratio=cpu_ratio), 2.0, users=1)
    [observed] = watch
    longest = observed.longest["cpu_ratio"]
    assert (longest.seconds, longest.mean) == (4.0, pytest.approx(0.95))
    assert observed.longest["gc_ratio"].seconds == 0.0

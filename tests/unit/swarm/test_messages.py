"""The table of messages: each kind is read back as written, and refuses invalid content."""

import time
import tracemalloc
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from locust.env import Environment
from locust.rpc import Message

from loadtest.measuring.delivery import Acknowledgement
from loadtest.pacing.arrivals import Arrivals, Share
from loadtest.pacing.assignment import Assignment, Portion, Schedule
from loadtest.profiles.curve import LoadCurve, Stage
from loadtest.swarm import messages
from loadtest.swarm.messages import (
    ACKNOWLEDGEMENT,
    ASSIGNMENT,
    BATCH_ALLOCATED,
    BATCH_REQUEST,
    FROM_MASTER,
    FROM_WORKERS,
    REPORT,
    TIME,
    AssignmentMessage,
    BatchMessage,
    BatchRequestMessage,
    ClockAnswer,
    Heartbeat,
    Report,
    RunOptions,
    Users,
)
from loadtest.swarm.software import Software

PORTION = Portion(Schedule(Arrivals(LoadCurve.of([Stage(5, 100, "step")]), "even", 3), 12.5), Share(0, 2), 12.5)
STARTS = replace(PORTION.schedule.arrivals, starts=np.array([0.0, 0.5, 4.0]).tobytes())
KNOWN = Portion(Schedule(STARTS, 12.5), Share(0, 2), 12.5)
HEARTBEAT = Heartbeat(state="running", current_cpu_usage=5, current_memory_usage=7)
PAYLOADS = [
    (REPORT, Report(1.5, [b"\xff\x00"], HEARTBEAT, Users(user_classes_count={"Idle": 3}, user_count=3))),
    (REPORT, Report(1.5, [], None, None)),
    (REPORT, Report(1.5, [], HEARTBEAT.model_copy(update={"software": Software("0.1.0 aa", "mine bb")}), None)),
    (ACKNOWLEDGEMENT, Acknowledgement("a run", 3, (5, 7))),
    (ACKNOWLEDGEMENT, None),
    (TIME, ClockAnswer(1.0, 2.0, "a clock")),
    (ASSIGNMENT, AssignmentMessage(10, Assignment(1, 12.5, PORTION, (PORTION,)).to_wire())),
    (ASSIGNMENT, AssignmentMessage(10, Assignment(1, 12.5, KNOWN).to_wire())),
    (ASSIGNMENT, AssignmentMessage(0, Assignment(2, 13.0, None).to_wire())),
    (BATCH_REQUEST, BatchRequestMessage("feed", (1, 2, 3, 4, 5, 6, False), 1.0, (0, 0.0, 0.0))),
    (BATCH_ALLOCATED, BatchMessage("feed", (1, 0, ["a", 2], True), 1.0)),
]


@pytest.mark.parametrize(("kind", "payload"), PAYLOADS)
def test_a_payload_comes_back_as_it_was_sent(kind: messages.Kind, payload: object) -> None:
    """Written, packed, unpacked and read, it is the same."""
    data = Message(kind.name, kind.write(payload), "w").serialize()
    assert kind.read(messages.read(data).data) == payload


def test_every_kind_is_in_one_table_under_its_name() -> None:
    """The gates read these tables, so that each service's messages arrive."""
    for table in (FROM_WORKERS, FROM_MASTER):
        assert {name: kind.name for name, kind in table.items()} == {name: name for name in table}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pacing_assignment", [-1, {"number": 1, "from_s": 0.0, "own": None, "inherited": []}]),
        ("pacing_assignment", [1, {"number": 1, "from_s": float("nan"), "own": None, "inherited": []}]),
        ("pacing_assignment", [1, {"number": 1, "from_s": 0.0, "own": [1], "inherited": []}]),
        ("pacing_time", [0.0, "now", ""]),
        ("loadtest_acknowledgement", ["a run"]),
        ("spawn", {"timestamp": 1.0}),
        ("stop", "please"),
    ],
)
def test_a_message_of_the_master_is_checked_too(name: str, data: object) -> None:
    """A worker refuses an invalid message of the master, and names its kind."""
    with pytest.raises(ValueError, match=f"of a {name} message"):
        FROM_MASTER[name].read(data)


@pytest.mark.parametrize("starts", [b"1234567", np.array([1.0, 0.5]).tobytes(), np.array([0.0, np.nan]).tobytes()])
def test_starts_that_are_none_are_refused(starts: bytes) -> None:
    """A worker would start arrivals out of order, or wait for one that never comes."""
    assignment = Assignment(1, 12.5, KNOWN).to_wire()
    wire = {**assignment, "own": ({**KNOWN.to_wire()[0], "starts": starts}, *KNOWN.to_wire()[1:])}
    with pytest.raises(ValueError, match="of a pacing_assignment message"):
        ASSIGNMENT.read([1, wire])


def test_inherited_portions_share_the_arrivals_of_the_own_one() -> None:
    """A profile's arrivals are megabytes; repeated with each portion, a message would be too long."""
    assignment = Assignment(1, 12.5, KNOWN, (KNOWN._replace(until_s=13.0), PORTION))
    wire = assignment.to_wire()
    assert [portion[0] is None for portion in wire["inherited"]] == [True, False]
    assert Assignment.from_wire(wire) == assignment
    for damaged in ({**wire, "own": None}, {**wire, "own": (None, *KNOWN.to_wire()[1:])}):
        with pytest.raises(ValueError, match="of a pacing_assignment message"):
            ASSIGNMENT.read([1, damaged])


def test_what_is_no_message_is_refused() -> None:
    """A message must be MessagePack of kind, data and sender."""
    for data in (b"", b"\xc1", msgpack.packb(7), msgpack.packb(("stats", None)), msgpack.packb(({}, None, "w"))):
        with pytest.raises(ValueError, match=r"^it"):
            messages.read(data)


def test_the_options_of_a_run_ride_with_spawn_messages() -> None:
    """Locust sends the master's announced options, and a worker reads them."""
    environment = Environment()
    environment.parsed_options = type("Options", (), {})()
    options = RunOptions("a run", is_open=True, think_time_s=(1.0, 2.0), keeps_evidence=False)
    options.announce(environment)
    sent = msgpack.unpackb(msgpack.packb(vars(environment.parsed_options)))
    assert RunOptions.of(sent) == options
    assert RunOptions.of({}) is None


BOMBS = {
    "empty lists": b"\x93\xa5stats\xdd" + (8_000_000).to_bytes(4) + b"\x90" * 8_000_000 + b"\xa1w",
    "empty maps in lists": b"\x93\xa5stats\xdd" + (500_000).to_bytes(4) + b"\x92\x80\x80" * 500_000 + b"\xa1w",
    "a deep nest": b"\x93\xa5stats" + b"\x91" * 10_000_000 + b"\xc0\xa1w",
    "a claim of four thousand million": b"\x93\xa5stats" + b"\xdd\xff\xff\xff\xff" * 20_000,
    "too long": msgpack.packb(("stats", b"x" * messages.LONGEST_BYTES, "w")),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=list(BOMBS))
def test_a_small_message_cannot_stand_for_a_large_one(bomb: bytes) -> None:
    """It is refused before it is unpacked, without time or memory."""
    tracemalloc.start()
    began_s = time.process_time()
    try:
        with pytest.raises(ValueError, match=r"^it (holds more than|is longer than|is nested more than)"):
            messages.read(bomb)
        assert (time.process_time() - began_s < 1.0, tracemalloc.get_traced_memory()[1] < 1e6) == (True, True)
    finally:
        tracemalloc.stop()


def test_the_longest_message_of_a_worker_is_read() -> None:
    """Most of it is bytes."""
    longest = ("loadtest_report", (1.0, [b"d" * 500_000] * 30, None, None), "w")
    assert messages.read(msgpack.packb(longest)).data == [1.0, [b"d" * 500_000] * 30, None, None]


def test_a_workers_long_texts_are_cut() -> None:
    """An error text of 30 MB would otherwise cost the worker its connection; other messages are unchanged."""
    long = "x" * 30_000_000
    error = messages.shortened(Message("exception", {"msg": long, "traceback": long}, "w"))
    logs = messages.shortened(Message("logs", {"worker_id": "w", "logs": ["short", long]}, "w"))
    assert {name: len(text) for name, text in error.data.items()} == {"msg": 10_000, "traceback": 10_000}
    assert (logs.data["worker_id"], [len(line) for line in logs.data["logs"]]) == ("w", [5, 10_000])
    assert messages.shortened(Message("stats", long, "w")).data == long

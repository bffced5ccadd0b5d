"""The record on disk: it is readable after any end of its writer, and a full disk does not end the run."""

import resource
from pathlib import Path

import msgpack
import pytest

from loadtest.exceptions import RecordError
from loadtest.measuring import record_dict, record_file
from loadtest.measuring.evidence import Evidence
from loadtest.measuring.measurements import Measurements
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.record_rows import Delivery, Missing
from loadtest.measuring.recorder import Recorder


def measure(requests: int, name: str = "a", failed: int = 0) -> Measurements:
    """Some requests of half a second."""
    recorder = Recorder()
    for _ in range(requests - failed):
        recorder.series("shop", "GET", name).success(1.0, 1.0, 1.5, 10)
    for _ in range(failed):
        recorder.series("shop", "GET", name).failure(
            1.0, 1.0, 1.5, 10, "reset", "gone", lambda: Evidence("sent", "got")
        )
    return recorder.take()


def write(path: Path, seconds: int, *, close: bool = True) -> RunRecord:
    """Write a record with ten requests a second."""
    record = RunRecord("r1", 1_700_000_000.5, {"profile": "quick"})
    file = RecordFile(path, record)
    for second in range(seconds):
        measured = measure(10, name=f"n{second % 3}")
        record.add(measured, second)
        record.timeline.set_users(second, 4)
        file.add(second, measured, {"shop": 4})
    if close:
        record.ended = True
        file.close()
    return record


def test_a_record_is_read_back_whole(tmp_path: Path) -> None:
    """A streamed record that is read back equals the one in memory."""
    path = tmp_path / "deeper" / "record.stream"
    record = write(path, 25)
    assert record_dict.as_dict(record_file.read(path)) == record_dict.as_dict(record)


def test_completeness_and_workers_are_in_the_file(tmp_path: Path) -> None:
    """The file has the gaps and the workers' observations of themselves."""
    path = tmp_path / "record.stream"
    record = RunRecord("r1", 0.0)
    file = RecordFile(path, record)
    record.delivery = Delivery(0.75, (Missing(1, 2, 3.0, None),), 4, 5)
    record.workers = ({"subject": "worker 0", "seconds": 1.0},)
    record.note_connections(1, 7)
    file.close()
    read = record_file.read(path)
    assert (read.delivery, read.workers, read.connections_peak) == (record.delivery, record.workers, 7)


def test_every_second_is_on_the_disk_at_once(tmp_path: Path) -> None:
    """Without a close, as after kill -9, every second that was added is readable, and the record has not ended."""
    path = tmp_path / "record.stream"
    record = write(path, 5, close=False)
    read = record_file.read(path)
    assert (read.requests, read.duration_s, read.ended) == (50, 5, False)
    assert read.total().response_time == record.total().response_time


def test_a_torn_end_is_left_out(tmp_path: Path) -> None:
    """Cut anywhere after its header, the file gives the seconds before the cut, and never a wrong number."""
    path = tmp_path / "record.stream"
    write(path, 4)
    data = path.read_bytes()
    seen = set()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        try:
            read = record_file.read(path)
        except RecordError as error:
            assert "ends within its header" in str(error) or "is not a record" in str(error)
            continue
        assert not read.ended
        assert read.requests == 10 * read.duration_s
        seen.add(read.requests)
    assert seen == {0, 10, 20, 30, 40}


def test_damage_in_the_middle_is_an_error_that_says_where(tmp_path: Path) -> None:
    """A changed byte is found, and the error says how to keep the part before it."""
    path = tmp_path / "record.stream"
    write(path, 4)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"damaged at byte \d+.*head -c \d+"):
        record_file.read(path)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 7])
def test_another_version_is_an_error_with_both_versions(tmp_path: Path, version: int) -> None:
    """A file of an older or newer version is refused, with advice."""
    path = tmp_path / "record.stream"
    write(path, 1)
    data = bytearray(path.read_bytes())
    data[len(record_file.MAGIC)] = version
    path.write_bytes(data)
    with pytest.raises(RecordError, match=f"version {version}, this program reads version 6 only; read it with"):
        record_file.read(path)


@pytest.mark.parametrize("frame", [[-1, 3], [2**40, 3], [0, -3], [0.0, 3], [0, "3"], [0], [0, 3, 4, 5]], ids=str)
def test_a_second_that_contradicts_itself_is_an_error(tmp_path: Path, frame: list) -> None:
    """Even with a valid checksum, a second with another number or other users is refused."""
    path = tmp_path / "record.stream"
    write(path, 1)
    body = msgpack.packb([*frame, PackedMeasurements.of(measure(1))])
    path.write_bytes(path.read_bytes() + record_file._frame(b"S", body))
    with pytest.raises(RecordError, match=r"is damaged at byte \d+: its frame b'S' cannot be read"):
        record_file.read(path)


@pytest.mark.parametrize("content", [None, b"", b"LT", b"<html>"])
def test_what_is_no_record_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    """A missing file and a file of another kind are refused with an error."""
    path = tmp_path / "record.stream"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match="give a run's record file"):
        record_file.read(path)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A path below a file is refused before the run begins."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(RecordError, match="give a folder that can be written to"):
        RecordFile(blocker / "record.stream", RunRecord())


def test_a_full_device_is_said_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """On a full device every write fails: the record notes it once, and nothing is raised."""
    record = write(Path("/dev/full"), 12)
    assert record.stream_error == "/dev/full: No space left on device"
    assert record.requests == 120
    assert caplog.text.count("free space on the disk") == 1


def test_what_could_not_be_written_is_written_when_there_is_room_again(tmp_path: Path) -> None:
    """Once the disk has space again, the file has every request; only the seconds in between are merged."""
    path = tmp_path / "record.stream"
    record = RunRecord("r1", 0.0)
    file = RecordFile(path, record)

    def add(second: int) -> None:
        measured = measure(10, failed=int(second == 2))
        record.add(measured, second)
        file.add(second, measured, {"shop": 1})

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    add(0)
    try:
        # The kernel refuses to let the file grow, as a full disk does; Python ignores SIGXFSZ.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
        for second in (1, 2, 3):
            add(second)
        assert "record.stream: File too large" in record.stream_error
        assert record_file.read(path).requests == 10
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    add(4)
    assert record.stream_error == ""
    file.close()
    read = record_file.read(path)
    assert (read.requests, read.ended) == (50, True)
    assert [(row.occurrences, row.evidence) for row in read.errors()] == [(1, Evidence("sent", "got"))]
    assert read.total().response_time == record.total().response_time
    assert [(point.second, point.requests) for point in read.timeline] == [(0, 10), (1, 40)]


def test_a_reset_is_in_the_file(tmp_path: Path) -> None:
    """A record that is read back starts at its last reset, like the one in memory."""
    path = tmp_path / "record.stream"
    record = RunRecord("r1", 0.0)
    file = RecordFile(path, record)
    for second, measured in enumerate([measure(10), measure(5)]):
        record.add(measured, second)
        file.add(second, measured, {})
        if second == 0:
            record.reset(1)
            file.reset(1)
    record.ended = True
    file.close()
    read = record_file.read(path)
    assert (read.requests, read.reset_at_s) == (5, 1)
    assert record_dict.as_dict(read) == record_dict.as_dict(record)

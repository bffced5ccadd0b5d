"""A run's record on disk: appended second by second, readable even when its writer was killed.

The file, version 6, is ``b"LTREC"``, the version as one byte, then frames. A frame is its kind (one byte), the length
and the CRC-32 of its payload (little-endian, 32 bits each), and the payload, compressed with zlib:

    ``H`` header: JSON with run_id, started_at, configuration, context   once, first
    ``S`` second: MessagePack with its number, the users that ran,       every second in which something was counted
          and what was measured, as `wire.PackedMeasurements`
    ``W`` state: JSON with delivery, workers, events, interruption       every 10 s, and at the end
    ``R`` reset: JSON with the second                                    when the statistics are reset
    ``E`` end                                                            once, last

Every frame is one ``write``, so a killed writer leaves at most one torn frame at the end, which the reader leaves out.
A frame that cannot be written (a full disk) is taken back, and its counts wait, merged, for the next attempt: the run
goes on, and once there is room again nothing is missing but resolution in time.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import msgpack  # type: ignore[import-untyped]

from loadtest import untrusted
from loadtest.exceptions import RecordError
from loadtest.measuring.measurements import Accumulator
from loadtest.measuring.packed import PackedMeasurements, check
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_rows import Delivery, Event, Interruption, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from loadtest.measuring.measurements import Measurements

_log = logging.getLogger(__name__)

MAGIC: Final = b"LTREC"
VERSION: Final = 6
STATE_EVERY_S: Final = 10

_PRELUDE: Final = MAGIC + bytes((VERSION,))
_ANEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_FRAME: Final = struct.Struct("<cII")
_KINDS: Final = frozenset((b"H", b"S", b"W", b"R", b"E"))
_LONGEST_FILE_BYTES: Final = 4 * 1024 * 1024 * 1024
_LONGEST_BYTES: Final = 64 * 1024 * 1024  # of one frame, decompressed
_MIN_BYTES: Final = 64 * 1024
_MAX_INFLATED: Final = 200  # zlib's highest ratio in a long frame; repeated counts reach a tenth of it
_MAX_VALUES: Final = 500_000
_LATEST_S: Final = 1e11  # the highest Unix time, in seconds, that can be formatted as a date
_LAST_SECOND: Final = 10**9
_MAX_USERS: Final = 10**9
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    zlib.error,
    msgpack.UnpackException,
)
_FASTEST: Final = 1  # zlib's compression level; a second's frame takes about 0.1 ms


class RecordFile:
    """Writes a record to disk while the run goes on."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        """Create the file, or empty it, and write its header.

        Raises:
            RecordError: when the file cannot be made.
        """
        self._path = path
        self._record = record
        self._users = 0
        self._unwritten = Accumulator(record.labels)
        self._unwritten_second: int | None = None
        self._state_due = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, _ANEW, 0o644)
        except OSError as error:
            raise RecordError(
                f"the record cannot be written to {path}: {error.strerror}; give a folder that can be written to"
            ) from error
        self._good_bytes = 0
        self._write_header()

    def add(self, second: int, measurements: Measurements, users: dict[str, int]) -> None:
        """Append the measurements of a second; a failure is shown in the record's ``stream_error``."""
        self._unwritten.add(measurements)
        self._unwritten_second = second if self._unwritten_second is None else self._unwritten_second
        self._users = sum(users.values())
        self.flush(second)

    def flush(self, second: int) -> None:
        """Append pending measurements, and the state if it is due."""
        has_header = self._good_bytes > 0 or self._write_header()
        if has_header and self._unwritten_second is not None:
            self._write_second(self._unwritten_second)
        if second >= self._state_due and not self._record.stream_error:
            self._state_due = second + STATE_EVERY_S
            self._write(_frame(b"W", self._state()))

    def _write_header(self) -> bool:
        record = self._record
        header = {
            "run_id": record.run_id,
            "started_at": record.started_at,
            "configuration": record.configuration,
            "context": record.context,
        }
        return self._write(_PRELUDE + _frame(b"H", _json(header)))

    def _write_second(self, second: int) -> None:
        taken = self._unwritten.take()
        if self._write(_frame(b"S", msgpack.packb((second, self._users, PackedMeasurements.of(taken))))):
            self._unwritten_second = None
        else:
            self._unwritten.add(taken)

    def reset(self, second: int) -> None:
        """Append that the statistics were reset in this second."""
        self._write(_frame(b"R", _json({"second": second})))

    def close(self) -> None:
        """Append the last state and the end, sync everything to disk, and close."""
        self.flush(self._state_due)
        if not self._record.stream_error:
            self._write(_frame(b"W", self._state()) + _frame(b"E", b""))
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self._failed(error)
        os.close(self._descriptor)

    def _state(self) -> bytes:
        record = self._record
        return _json(
            {
                "delivery": asdict(record.delivery),
                "workers": record.workers,
                "events": [asdict(event) for event in record.events],
                "connections_peak": record.connections_peak,
                "interruption": asdict(record.interruption) if record.interruption else None,
            }
        )

    def _write(self, data: bytes) -> bool:
        try:
            written = 0
            while written < len(data):  # a full disk accepts a part first; the next write raises the error
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self._failed(error)
            self._take_back()
            return False
        self._good_bytes += len(data)
        if self._record.stream_error:
            _log.warning("the record in %s can be written again", self._path)
            self._record.stream_error = ""
        return True

    def _failed(self, error: OSError) -> None:
        if not self._record.stream_error:
            _log.error(
                "the record cannot be written to %s: %s; the run continues, and the record is kept in memory: free "
                "space on the disk before the run ends",
                self._path,
                error.strerror,
            )
        self._record.stream_error = f"{self._path}: {error.strerror}"

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._good_bytes)
            os.lseek(self._descriptor, self._good_bytes, os.SEEK_SET)
        except OSError:  # not a regular file; the reader leaves out a torn frame
            _log.debug("%s cannot be cut", self._path)


def read(path: Path) -> RunRecord:
    """Read a record. If the run was cut off, ``ended`` is False and the record holds every second that was written.

    Raises:
        RecordError: when the file cannot be read, is not a record, is damaged, or has another version.
    """
    try:
        with untrusted.open_file(path, _LONGEST_FILE_BYTES) as file:
            return _read(path, file)
    except OSError as error:
        raise RecordError(f"the record {path} cannot be read: {error.strerror}; give a run's record file") from error


def _read(path: Path, file: BinaryIO) -> RunRecord:
    data = file.read(len(_PRELUDE))
    if data[: len(MAGIC)] != MAGIC:
        raise RecordError(f"{path} is not a record: it must start with {MAGIC!r}; give a run's record file")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise RecordError(
            f"{path} has version {data[len(MAGIC)]}, this program reads version {VERSION} only; read it with the "
            "release that wrote it"
        )
    record: RunRecord | None = None
    for position, kind, payload in _last_states(_frames(path, file)):
        try:
            if (record is None) != (kind == b"H"):
                raise ValueError("a header comes once, and first")
            if record is None:
                record = _begun(_parsed(_inflated(payload)))
            else:
                _apply(record, kind, _inflated(payload))
        except _UNREADABLE as error:
            raise _damaged(path, position, f"its frame {kind!r} cannot be read ({error})") from error
    if record is None:
        raise RecordError(f"{path} ends within its header, after {file.tell()} bytes; make the run again")
    return record


def _begun(header: dict[str, Any]) -> RunRecord:
    run_id, started_at = header["run_id"], header.get("started_at", 0.0)
    configuration, context = header.get("configuration", {}), header.get("context", {})
    if not (isinstance(run_id, str) and isinstance(configuration, dict) and isinstance(context, dict)):
        raise TypeError("run_id must be text, configuration and context must be objects")
    if not 0 <= float(started_at) < _LATEST_S:
        raise ValueError(f"started_at is {started_at}; allowed are 0 to {_LATEST_S:.0f}")
    return RunRecord(run_id, float(started_at), configuration, context)


def _inflated(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    longest = min(_LONGEST_BYTES, max(_MIN_BYTES, _MAX_INFLATED * len(payload)))
    data = inflater.decompress(payload, longest)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError(f"it is cut off, or longer than {longest} bytes")
    return data


def _parsed(payload: bytes) -> Any:
    return untrusted.parse_json(payload, _MAX_VALUES)


def _frames(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    position = file.tell()
    while len(head := file.read(_FRAME.size)) == _FRAME.size:
        kind, length, checksum = _FRAME.unpack(head)
        if kind not in _KINDS or length > _LONGEST_BYTES:
            raise _damaged(path, position, "no frame begins there")
        payload = file.read(length)
        if len(payload) < length:
            return
        if zlib.crc32(payload) != checksum:
            raise _damaged(path, position, "a checksum does not match")
        yield position, kind, payload
        position = file.tell()


def _last_states(frames: Iterable[tuple[int, bytes, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
    """Leave out each state that a later one replaces. One before a reset stays, because a reset changes it."""
    state: tuple[int, bytes, bytes] | None = None
    for frame in frames:
        if frame[1] == b"W":
            state = frame
            continue
        if frame[1] == b"R" and state is not None:
            yield state
            state = None
        yield frame
    if state is not None:
        yield state


def _damaged(path: Path, position: int, reason: str) -> RecordError:
    return RecordError(
        f"{path} is damaged at byte {position}: {reason}; what precedes it can be read from a copy cut there "
        f"(head -c {position})"
    )


def _apply(record: RunRecord, kind: bytes, payload: bytes) -> None:
    if kind == b"S":
        untrusted.check_msgpack(payload, untrusted.SMALL_BYTES)
        second, users, wire = msgpack.unpackb(payload)
        if not (type(second) is type(users) is int and 0 <= second <= _LAST_SECOND and 0 <= users <= _MAX_USERS):
            raise ValueError(f"second {second!r} and users {users!r} must be integers from 0 to 10**9")
        packed = PackedMeasurements.from_wire(wire)
        check([packed])
        record.add(packed.unpacked(), second)
        record.timeline.set_users(second, users)
    elif kind == b"W":
        state = _parsed(payload)
        missing = tuple(Missing(**gap) for gap in state["delivery"].pop("missing"))
        record.delivery = Delivery(missing=missing, **state["delivery"])
        record.workers = tuple(state["workers"])
        record.events = tuple(Event(**event) for event in state.get("events", ()))
        record.connections_peak = int(state.get("connections_peak", 0))
        interruption = state.get("interruption")
        record.interruption = Interruption(**interruption) if interruption else None
    elif kind == b"R":
        record.reset(int(_parsed(payload)["second"]))
    elif kind == b"E":
        record.ended = True


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _frame(kind: bytes, payload: bytes) -> bytes:
    compressed = zlib.compress(payload, _FASTEST)
    return _FRAME.pack(kind, len(compressed), zlib.crc32(compressed)) + compressed

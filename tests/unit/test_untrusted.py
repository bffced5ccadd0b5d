"""Bounds for external data: excessive data is refused, and all usual data is accepted."""

import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import untrusted


def test_a_regular_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    """A larger one is refused without being read completely."""
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert untrusted.read_file(file, 5) == b"12345"
    with pytest.raises(OSError, match="it is longer than 4 bytes"):
        untrusted.read_file(file, 4)


def test_what_never_ends_or_never_comes_is_no_file(tmp_path: Path) -> None:
    """A named pipe is refused without a wait, and a device is not read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"regular file|Is a directory"):
            untrusted.read_file(path, 10)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 100_000, "it is nested more than 64 times"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "it is nested more than 64 times"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", "it holds up to"),
        (b"[" + b"1," * 1_000_000 + b"1]", "it holds up to"),
    ],
)
def test_json_is_refused_before_it_is_parsed(data: bytes, why: str) -> None:
    """It is nested too deeply or contains too many values."""
    with pytest.raises(ValueError, match=why):
        untrusted.check_json(data, 500_000)


def test_brackets_in_text_are_no_nesting() -> None:
    """As in JSON itself, strings may contain brackets and escaped quotes."""
    untrusted.check_json(json.dumps(["[" * 1000, '"{[' * 1000, {"\\": "\\"}] * 20).encode(), 200_000)


PADDING = b"x" * untrusted.SMALL_BYTES
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20),
    max_leaves=50,
)


def count(value: Any) -> int:
    """The number of values, including keys."""
    if isinstance(value, dict):
        return 1 + sum(1 + count(item) for item in value.values())
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


@given(VALUES)
def test_values_of_messagepack_are_counted_as_they_are(value: Any) -> None:
    """The exact number passes as the limit, and one less is too little."""
    data, values = msgpack.packb([value, PADDING]), count([value, PADDING])
    untrusted.check_msgpack(data, values)
    with pytest.raises(ValueError, match="it holds more than"):
        untrusted.check_msgpack(data, values - 1)
    with pytest.raises(ValueError, match="it is cut off"):
        untrusted.check_msgpack(msgpack.packb([PADDING, value, 1])[:-1], values + 9)


def test_extensions_of_messagepack_are_skipped() -> None:
    """Short and long extensions count as one value each."""
    extensions = [msgpack.ExtType(1, b"x" * length) for length in (1, 2, 4, 8, 16, 20, 300, 70_000)]
    untrusted.check_msgpack(msgpack.packb([*extensions, 1]), len(extensions) + 2)
    with pytest.raises(ValueError, match="a byte that MessagePack does not have"):
        untrusted.check_msgpack(b"\xc1" + PADDING, 9)


def test_a_limit_of_processor_time_that_was_dropped_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python drops exceptions during garbage collection and finalisation: the work would otherwise go on for ever."""
    monkeypatch.setattr(untrusted, "_AGAIN_S", 0.05)
    dropped = 0

    def compute() -> None:
        while True:
            sum(range(1_000))

    refused = pytest.raises(ValueError, match=r"takes more than 0\.05 s of processor time")
    with refused, untrusted.bounded(ValueError, cpu_s=0.05, memory_bytes=2**30):
        try:
            compute()
        except ValueError:
            dropped += 1
        compute()
    assert dropped == 1


def archive_of(*members: tuple[str, bytes, str]) -> tarfile.TarFile:
    """Return an archive of files and links, each with its type and link target."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode, member.uid, member.size = kind, target, 0o6600, 4242, 0
            made.addfile(member)
    data.seek(0)
    return tarfile.open(fileobj=data, mode="r|")


def test_an_archive_is_unpacked_as_ones_own(tmp_path: Path) -> None:
    """Files and folders are unpacked without the archive's owner and its setuid bit."""
    with archive_of(("run", tarfile.DIRTYPE, ""), ("run/record.json", tarfile.REGTYPE, "")) as archive:
        untrusted.unpack(archive, tmp_path)
    found = (tmp_path / "run" / "record.json").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), 0o600)


@pytest.mark.parametrize(
    "member",
    [("../out", tarfile.REGTYPE, ""), ("out", tarfile.SYMTYPE, "/etc"), ("out", tarfile.LNKTYPE, "../out")],
    ids=["above", "symbolic link", "hard link"],
)
def test_nothing_is_unpacked_outside(member: tuple[str, bytes, str], tmp_path: Path) -> None:
    """Neither a file above the folder nor a link that leads out of it is unpacked."""
    (tmp_path / "in").mkdir()
    with archive_of(member) as archive, pytest.raises(tarfile.TarError):
        untrusted.unpack(archive, tmp_path / "in")
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]

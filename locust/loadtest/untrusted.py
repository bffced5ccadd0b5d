"""Limits for untrusted data, checked before it is parsed: a few bytes can expand to gigabytes of objects.

Size, number of values and nesting are limited. A file must also be a regular file: opening a named pipe would block,
and a device has no end.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import resource
import signal
import stat
import tarfile
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SMALL_BYTES: Final = 64 * 1024
"""MessagePack up to this length is not checked: even if each byte is an object, all of them take less than 6 MB."""
DEEPEST: Final = 64
_MAX_INFLATED: Final = 200
"""The maximum compression ratio of a file written by a program; that of a log is about twenty."""
_SMALL_INFLATED_BYTES: Final = 4 * 1024 * 1024
"""The size to which even the smallest file may expand."""
_ONE: Final = 1
_MAX_DIGITS: Final = 40
_AGAIN_S: Final = 1.0
"""Seconds of CPU time after which the signal of a CPU time limit repeats: Python drops exceptions of its callbacks."""
WRONG_FORM: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""The exceptions of a reader if parts of a document have unexpected types, or absurd numbers."""


def is_there(path: Path) -> bool:
    """Return whether a path exists. A path that is too long does not; for `Path.exists` it is an error."""
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder. A path that is too long is not; for `Path.is_dir` it is an error."""
    return os.path.isdir(path)  # noqa: PTH112


def open_file(path: Path, most_bytes: int) -> BinaryIO:
    """Open a regular file of at most `most_bytes`.

    Raises:
        OSError: when it cannot be read, is not a regular file, or is longer; `strerror` says which.
    """
    with contextlib.ExitStack() as after_an_error:
        file = after_an_error.enter_context(os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb"))
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size > most_bytes:
            raise _too_long(path, most_bytes)
        after_an_error.pop_all()
    return file


def read_file(path: Path, most_bytes: int) -> bytes:
    """Read a regular file of at most `most_bytes`.

    Raises:
        OSError: as for `open_file`.
    """
    with open_file(path, most_bytes) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:  # it grew, or does not report its length
        raise _too_long(path, most_bytes)
    return data


def _too_long(path: Path, most_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it is longer than {most_bytes} bytes", str(path))


@contextlib.contextmanager
def bounded(refused: Callable[[str], Exception], cpu_s: float, memory_bytes: int) -> Iterator[None]:
    """Limit the CPU time and the memory of work on untrusted data. Main thread only.

    A pattern, a name or a reference of a few bytes can take hours or gigabytes in many ways. The known ones are limited
    where the data is read, the others here.

    Args:
        refused: returns the error for a reason.
        cpu_s: the maximum CPU time, in seconds.
        memory_bytes: the maximum memory beyond the process's current one; unlimited if the system supports no limit.

    Raises:
        Exception: the result of `refused`.
    """

    def end(*_: object) -> None:
        raise refused(f"it takes more than {cpu_s:g} s of processor time")

    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, cpu_s, _AGAIN_S)
    try:
        with contextlib.suppress(ValueError, OSError):  # the system has no such limit, or already a lower one
            resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + memory_bytes, limits[1]))
        yield
    except MemoryError as error:
        raise refused(f"it takes more than {memory_bytes / 2**30:g} GiB of memory") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def inflated_bytes(packed_bytes: int) -> int:
    """Return the maximum size, in bytes, to which a compressed file of this size may expand."""
    return max(_SMALL_INFLATED_BYTES, _MAX_INFLATED * packed_bytes)


_TEXTS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""Strings, including an unterminated one: otherwise the search would restart at each of its quotation marks."""
_DEEPER: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in _DEEPER)


def check_json(data: bytes, most_values: int) -> None:
    """Check JSON before it is parsed.

    Raises:
        ValueError: when it may contain more values, or is nested more than 64 levels deep.
    """
    values = _ONE + sum(map(data.count, (b",", b"[", b"{")))  # including those in strings
    if values > most_values:
        raise ValueError(f"it holds up to {values} values; allowed are {most_values}")
    brackets = _TEXTS.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_DEEPER.__getitem__, brackets)), default=0) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} times")


def parse_json(data: bytes, most_values: int, largest: float = math.inf) -> Any:
    """Parse JSON whose integers are short enough to be converted to a float.

    Args:
        data: the JSON.
        most_values: see `check_json`.
        largest: the maximum absolute value of a number; if it is finite, NaN is not allowed.

    Raises:
        ValueError: when it is not JSON, `check_json` rejects it, or it contains a number that is not allowed.
    """

    def within(text: str, number: Callable[[str], float] = float) -> float:
        value = number(text)
        if not abs(value) <= largest:
            raise ValueError(f"it holds the number {text[:_MAX_DIGITS]}; allowed are those of up to {largest:g}")
        return value

    check_json(data, most_values)
    if math.isinf(largest):
        return json.loads(data, parse_int=_whole_number)
    return json.loads(data, parse_int=partial(within, number=_whole_number), parse_float=within, parse_constant=within)


def _whole_number(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits; allowed are {_MAX_DIGITS}")
    return int(text)


def check_msgpack(data: bytes, most_values: int) -> None:
    """Check MessagePack before it is unpacked; only the headers of its values are read.

    Raises:
        ValueError: when it contains more values, is nested more than 64 levels deep, or is truncated.
    """
    if len(data) <= SMALL_BYTES:
        return
    position, values = 0, _ONE
    left = [1]  # remaining values of each enclosing container
    while left:
        if left[-1] == 0:
            left.pop()
            continue
        left[-1] -= 1
        if position >= len(data):
            raise ValueError("it is cut off")
        inside, position = _head(data, position)
        values += inside
        if values > most_values:
            raise ValueError(f"it holds more than {most_values} values")
        if inside:
            left.append(inside)
        if len(left) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} times")


_FIXED: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 1),
    **dict(zip(range(0xCA, 0xD4), (5, 9, 2, 3, 5, 9, 2, 3, 5, 9), strict=True)),
    **dict(zip(range(0xD4, 0xD9), (3, 4, 6, 10, 18), strict=True)),
}
"""The length of values by their first byte: nil, booleans, numbers and short extensions."""
_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4}
"""The width of the length field of byte strings, texts and extensions."""
_CONTAINERS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""The width of the count field of arrays and maps, and the number of values per item."""
_EXTENSIONS: Final = range(0xC7, 0xCA)


def _head(data: bytes, at: int) -> tuple[int, int]:
    """Return the number of values within a value, and where the next one begins."""
    first = data[at]
    if first <= 0x7F or first >= 0xE0:  # noqa: PLR2004 - a small integer
        return 0, at + 1
    if first <= 0x9F:  # noqa: PLR2004 - a small map or array
        return (first & 0x0F) * (2 if first <= 0x8F else 1), at + 1  # noqa: PLR2004
    if first <= 0xBF:  # noqa: PLR2004 - a short text
        return 0, at + 1 + (first & 0x1F)
    if first in _FIXED:
        return 0, at + _FIXED[first]
    if first in _CONTAINERS:
        width, each = _CONTAINERS[first]
        return each * int.from_bytes(data[at + 1 : at + 1 + width]), at + 1 + width
    if first not in _BYTES:
        raise ValueError("it holds a byte that MessagePack does not have")
    width = _BYTES[first]
    length = int.from_bytes(data[at + 1 : at + 1 + width])
    return 0, at + 1 + width + length + (first in _EXTENSIONS)


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack the files and folders of an archive, owned by this account, and nothing outside a folder.

    Python's own filter does this since 3.11.4; earlier versions, such as Debian 12's 3.11.2, do not have it.

    Raises:
        tarfile.TarError: when it is damaged, or has members that lead outside.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    for member in archive:
        is_inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not is_inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} is not a file or folder in it")
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        member.mode &= 0o755
        archive.extract(member, folder)

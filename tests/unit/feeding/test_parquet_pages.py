"""The declared sizes of a Parquet file's pages."""

import io
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow import parquet

from loadtest.exceptions import UsageError
from loadtest.feeding import parquet_pages, sources

TWO_GIB = 2**31 - 2


def varint(value: int) -> bytes:
    """Encode a number as in Thrift's compact protocol."""
    value <<= 1
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def written(path: Path, table: pa.Table, **options: object) -> tuple[bytes, int]:
    """Write a table; return the file and the offset of its first page."""
    parquet.write_table(table, path, use_dictionary=False, compression="none", **options)
    return path.read_bytes(), parquet.read_metadata(path).row_group(0).column(0).data_page_offset


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_the_pages_of_a_usual_file_are_as_large_as_its_end_says(
    tmp_path: Path, compression: str, version: str, use_dictionary: bool
) -> None:
    """This holds for many pages, of both versions, with dictionaries and statistics, compressed and not."""
    columns = {"id": list(range(20_000)), "name": [f"user {number % 9}" for number in range(20_000)]}
    parquet.write_table(
        pa.table(columns), tmp_path / "a.parquet", compression=compression, data_page_version=version,
        use_dictionary=use_dictionary, data_page_size=2_000, row_group_size=9_000,
    )  # fmt: skip
    metadata = parquet.read_metadata(tmp_path / "a.parquet")
    with (tmp_path / "a.parquet").open("rb") as file:
        held = parquet_pages.extent_bytes(file, metadata)
    said = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    assert said * 0.5 < held < said * 1.5 + 2 * 20_000 * parquet_pages.VALUE_BYTES
    assert len(sources.read(str(tmp_path / "a.parquet")).items) == 20_000


def test_a_page_that_says_two_gibibytes_is_refused(tmp_path: Path) -> None:
    """It is refused whatever the footer says; nothing is allocated for it."""
    path = tmp_path / "a.parquet"
    data, at = written(path, pa.table({"id": ["a", "b"]}))
    head, length = parquet_pages._head(io.BytesIO(data), at)
    assert (head[2], length > 0) == (head[3], True)
    old = b"\x15" + varint(head[2]) + b"\x15" + varint(head[3])
    begin = data.index(old, at)
    path.write_bytes(data[:begin] + b"\x15" + varint(TWO_GIB) + b"\x15" + varint(head[3]) + data[begin + len(old) :])
    with pytest.raises(UsageError, match="stand for 2 rows of 2,147,"):
        sources.read(str(path))


@pytest.mark.parametrize(
    "head",
    [b"", b"\x15", b"\x15\x00\x15\x02", b"\x15" + b"\xff" * 20, b"\x1c" * 10, b"\x19\x00", b"\x18\xff\xff\x7fx",
     b"\x00", b"\x15\x00\x15\x01\x15\x00\x00"],
)  # fmt: skip
def test_a_damaged_head_is_refused(head: bytes) -> None:
    """It is cut off, too deep, too long, of an unknown type, without a size, or with a negative one."""
    with pytest.raises(ValueError, match=r"page"):
        list(parquet_pages._pages(io.BytesIO(b"PAR1" + head), chunk(4)))


def chunk(begin: int) -> SimpleNamespace:
    """A column's chunk as in the footer of a file."""
    return SimpleNamespace(dictionary_page_offset=None, data_page_offset=begin, total_compressed_size=100_000_000)


def test_pages_that_many_columns_share_are_not_read_for_ever() -> None:
    """The footer may describe ten thousand columns in the same place."""
    column = chunk(4)
    group = SimpleNamespace(num_columns=10_000, column=lambda _number: column)
    metadata = SimpleNamespace(num_row_groups=10_000, row_group=lambda _number: group)
    pages = io.BytesIO(b"PAR1" + b"\x15\x00\x15\x00\x15\x00\x00" * 60_000)
    column.total_compressed_size = 7 * 60_000
    with pytest.raises(ValueError, match="more than 100,000 pages"):
        parquet_pages.extent_bytes(pages, metadata)


@pytest.mark.parametrize("begin", [-1, 100, 2**70])
def test_a_page_outside_of_the_file_is_refused(begin: int) -> None:
    """It may be before its start or after its end."""
    with pytest.raises(ValueError, match="outside"):
        list(parquet_pages._pages(io.BytesIO(b"PAR1"), chunk(begin)))

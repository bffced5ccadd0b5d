"""The sources of a feed's items."""

import gzip
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from loadtest.exceptions import LoadtestError, UsageError
from loadtest.feeding import sources
from loadtest.settings.data_file import DataFile

OID = "507f1f77bcf86cd799439011"
OID_2 = "507f191e810c19729de860ea"


def written(folder: Path, name: str, text: str) -> str:
    """Write a file and return its path."""
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return str(folder / name)


def items(source: Any, *, ids_only: bool = False) -> list[Any]:
    """Return the items of a source."""
    return list(sources.read(source, ids_only=ids_only).items)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ids.json", '["a", "b"]', ["a", "b"]),
        ("ids.json", "\ufeff[1, 2]\n", [1, 2]),
        ("ids.json", '[{"id": "a"}, {"id": 2}]', ["a", 2]),
        ("ids.json", '[{"id": "a", "name": "x"}, {"user_id": 2}]', [{"id": "a", "name": "x"}, {"user_id": 2}]),
        ("ids.jsonl", '"a"\n\n2\n{"id": "c"}\n', ["a", 2, "c"]),
        ("ids.jsonl", '\ufeff{"a": 1, "b": [true, null, 1.5]}\n', [{"a": 1, "b": [True, None, 1.5]}]),
        ("ids.csv", "name,id\nx,a\n\ny,b\n", [{"name": "x", "id": "a"}, {"name": "y", "id": "b"}]),
        ("ids.csv", '"User_ID"\r\n"a,1"\r\nb', ["a,1", "b"]),
        ("ids.CSV", "anything\na\nb\n", ["a", "b"]),
        ("ids.csv", "id;name\n1;Ada\n", [{"id": "1", "name": "Ada"}]),
        ("ids.csv", "id\tname\n1\tAda\n", [{"id": "1", "name": "Ada"}]),
        ("ids.csv", "q1,address2\n5,12 Main St\n", [{"q1": "5", "address2": "12 Main St"}]),
        ("ids.csv", "id|name\n1|Ada\n", [{"id": "1", "name": "Ada"}]),
        ("ids.tsv", "id\ta,b;c\n1\tAda\n", [{"id": "1", "a,b;c": "Ada"}]),
        ("ids.csv", 'id\n"1;Ada"\n', ["1;Ada"]),
    ],
)
def test_a_file_is_read_by_its_ending(tmp_path: Path, name: str, text: str, expected: list) -> None:
    """CSV, TSV, JSON and JSONL give texts, whole numbers and records in their order."""
    assert items(written(tmp_path, name, text)) == expected


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, separator: str) -> None:
    """Other characters at which str.splitlines splits are part of their value."""
    assert items(written(tmp_path, "a.csv", f"id,name\n1,foo{separator}bar\n")) == [
        {"id": "1", "name": f"foo{separator}bar"}
    ]
    value = json.dumps(f"foo{separator}bar", ensure_ascii=separator < " ")
    assert items(written(tmp_path, "a.jsonl", f"{value}\n")) == [f"foo{separator}bar"]


def test_a_quoted_line_feed_is_part_of_its_value(tmp_path: Path) -> None:
    """An error after it has the line at which its own row begins."""
    path = written(tmp_path, "a.csv", 'id,name\n1,"a\nb"\r\n2,"c\r\nd"\n')
    assert items(path) == [{"id": "1", "name": "a\nb"}, {"id": "2", "name": "c\r\nd"}]
    with pytest.raises(UsageError, match="line 4, column 1: 1 values"):
        items(written(tmp_path, "a.csv", 'id,name\n1,"a\nb"\n2\n'))


def test_the_ids_of_records_can_be_all_that_is_dealt(tmp_path: Path) -> None:
    """A scenario that sends ids gets no other column, so that no password ends up in a body."""
    for text, expected in (
        ("id;password\n1;secret\n", ["1"]),
        ("password,USER_ID\nsecret,1\n", ["1"]),
        ("only\n1\n", ["1"]),
        ("password,_id\nsecret,1\n", ["1"]),
    ):
        assert items(written(tmp_path, "a.csv", text), ids_only=True) == expected
    mixed = written(tmp_path, "ids.json", '[{"id": "a", "name": "x"}, {"user_id": 2, "name": "y"}, "c"]')
    assert items(mixed, ids_only=True) == ["a", 2, "c"]
    with pytest.raises(UsageError, match=r"line 2, column 1: .*without a column id, user_id or _id"):
        items(written(tmp_path, "a.csv", "name,mail\nx,y\n"), ids_only=True)
    with pytest.raises(UsageError, match=r"line 2, column 1: .*not an item"):
        items(written(tmp_path, "a.csv", "name,id\nx,\n"), ids_only=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", f'[{{"_id": {{"$oid": "{OID}"}}}}, {{"_id": {{"$oid": "{OID_2}"}}}}]'),
        ("a.json", f'{{"_id": {{"$oid": "{OID}"}}}}\n{{"_id": {{"$oid": "{OID_2}"}}}}\n'),
        ("a.jsonl", f'{{"_id": {{"$oid": "{OID}"}}}}\n{{"_id": {{"$oid": "{OID_2}"}}}}\n'),
        ("a.json", f'[{{"$oid": "{OID}"}}, {{"$oid": "{OID_2}"}}]'),
        ("a.json", f'ObjectId("{OID}")\nObjectId("{OID_2}")\n'),
        ("a.jsonl", f'ObjectId("{OID}")\nObjectId("{OID_2}")\n'),
        ("a.json", f"[\n  ObjectId('{OID}'),\n  new ObjectId('{OID_2}')\n]\n"),
        ("a.json", f"[\n  {{ _id: ObjectId('{OID}') }},\n  {{ _id: ObjectId('{OID_2}') }},\n]\n"),
        ("a.json", f'{{\n\t"_id" : ObjectId("{OID}")\n}}\n{{\n\t"_id" : ObjectId("{OID_2}")\n}}\n'),
        ("a.csv", f"_id\n{OID}\n{OID_2}\n"),
    ],
)
def test_each_form_in_which_mongodb_writes_ids_is_read(tmp_path: Path, name: str, text: str) -> None:
    """These are the forms of mongoexport, of the shell's printjson, and of mongosh."""
    assert items(written(tmp_path, name, text)) == [OID, OID_2]


def test_mongodbs_types_become_what_a_request_can_carry(tmp_path: Path) -> None:
    """Ids, dates and decimals become texts; numbers stay numbers."""
    exported = [
        {
            "_id": {"$oid": OID},
            "born": {"$date": "2001-02-03T04:05:06Z"},
            "coins": {"$numberLong": "9007199254740993"},
            "half": {"$numberDouble": "0.5"},
            "price": {"$numberDecimal": "1.10"},
            "key": {"$binary": {"base64": "AAECAwQFBgcICQoLDA0ODw==", "subType": "04"}},
        },
    ]
    shell = (
        f"[ {{ _id: ObjectId('{OID}'), born: ISODate('2001-02-03T04:05:06Z'), coins: Long('9007199254740993'), "
        "half: 0.5, price: Decimal128('1.10'), 'key': UUID('00010203-0405-0607-0809-0a0b0c0d0e0f') } ]"
    )
    expected = {
        "_id": OID,
        "born": "2001-02-03T04:05:06Z",
        "coins": 9007199254740993,
        "half": 0.5,
        "price": "1.10",
        "key": "00010203-0405-0607-0809-0a0b0c0d0e0f",
    }
    assert items(written(tmp_path, "a.json", json.dumps(exported))) == [expected]
    assert items(written(tmp_path, "a.json", shell)) == [expected]


@pytest.mark.parametrize(
    ("name", "text", "line", "column"),
    [
        ("ids.json", "", 1, 1),
        ("ids.json", "[]", 1, 1),
        ("ids.json", '["a",\n "b"\n "c"]', 3, 2),
        ("ids.json", '["a"', 1, 5),
        ("ids.json", '["a"]\n["b"]', 1, 5),
        ("ids.json", '{"id": "a"}', 1, 1),
        ("ids.json", '["a",\n   1.5]', 2, 4),
        ("ids.json", '["a", true]', 1, 7),
        ("ids.json", '["a", ""]', 1, 7),
        ("ids.json", '["a",\n {"id": NaN}]', 2, 2),
        ("ids.json", f"[\n  ObjectId('{OID}'),\n  ... 80 more items\n]", 3, 3),
        ("ids.json", "[ObjectId('x')]", 1, 2),
        ("ids.json", '[{"$oid": "x"}]', 1, 2),
        ("ids.jsonl", '"a"\n{"id": }', 2, 8),
        ("ids.jsonl", '"a"\nnull', 2, 1),
        ("ids.jsonl", '"a"\n  "b" "c"', 2, 6),
        ("ids.jsonl", "\n", 1, 1),
        ("ids.csv", "", 1, 1),
        ("ids.csv", "id\n", 1, 1),
        ("ids.csv", "name,id\nx,a\ny\n", 3, 1),
        ("ids.csv", "name,id\nx,a,b\n", 2, 1),
        ("ids.csv", 'id\n"a"b\n', 2, 1),
        ("ids.csv", 'id,name\n1,a\n2,"b\n\n', 3, 1),
        ("ids.csv", "id\n1;Ada\n", 2, 1),
        ("ids.csv", "id;name,first\n1;Ada\n", 1, 1),
        ("ids.csv", "1\n2\n3\n", 1, 1),
        ("ids.csv", f"{OID}\n{OID_2}\n", 1, 1),
        ("ids.csv", "00010203-0405-0607-0809-0a0b0c0d0e0f\n", 1, 1),
        ("ids.csv", "ada@example.com;secret\n", 1, 1),
        ("ids.csv", "user-1001\nuser-1002\n", 1, 1),
        ("ids.csv", "a1b2c3\nd4e5f6\n", 1, 1),
        ("ids.csv", "+441234567\n+449876543\n", 1, 1),
        ("ids.csv", "2024-01-01;x\n2024-01-02;y\n", 1, 1),
        ("ids.csv", "01HZX3T9Q8K7M2N4P6R8S0T2V4\n01HZX3T9Q8K7M2N4P6R8SABCD5\n", 1, 1),
        ("ids.csv", "Ada,https://a.example/1\nEve,https://a.example/2\n", 1, 1),
        ("ids.csv", "id\x00\n1\n", 1, 1),
        ("ids.csv", "id\r1\r2\r", 1, 1),
        ("ids.json", '["a", {"id": 1, "id": 2}]', 1, 7),
        ("ids.json", "[{ id: 1, id: 2 }]", 1, 11),
        ("ids.csv", "id,id\n1,2\n", 1, 1),
        ("ids.csv", "id,\n1,2\n", 1, 1),
    ],
)
def test_a_damaged_or_empty_file_is_named_with_line_and_column(
    tmp_path: Path, name: str, text: str, line: int, column: int
) -> None:
    """The error has the place in the file."""
    with pytest.raises(UsageError, match=rf"{name}, line {line}, column {column}: .*Allowed: .*Next: "):
        sources.read(written(tmp_path, name, text))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("18446744073709551616", "more than 64 bits"),
        ("-9223372036854775809", "more than 64 bits"),
        ('{"a": 1, "b": 18446744073709551616}', "more than 64 bits"),
        ('"\\ud800"', "half a surrogate pair"),
        ('{"\\ud800": 1, "b": 2}', "half a surrogate pair"),
        ("9" * 5000, "too many digits"),
        ('{"a": ' * 40 + "1" + "}" * 40, "deep"),
        ('{"a": ' * 2000 + "1" + "}" * 2000, "deep"),
        ('{"a": ' * 200_000, "deep"),
        (f'"{"x" * 300_000}"', "can be sent"),
        ('{"__datetime__": 1, "as_str": "x"}', "link replaces"),
    ],
)
def test_what_the_link_cannot_carry_is_refused_where_it_is_read(tmp_path: Path, item: str, reason: str) -> None:
    """It neither ends in a traceback nor is noticed only when a worker requests items."""
    for name, text, place in (("a.json", f'["a",\n  {item}]', "2, column 3"), ("a.jsonl", f'"a"\n{item}\n', "2, col")):
        with pytest.raises(UsageError, match=f"line {place}.*{reason}.*Next: "):
            sources.read(written(tmp_path, name, text))
    assert items([18446744073709551615, -9223372036854775808]) == [18446744073709551615, -9223372036854775808]


@pytest.mark.parametrize("item", [2**64, "\ud800", object(), {"a": {1, 2}}, [[[]] * 2] * 2, {1: 2, "a": 3}])
def test_what_a_scenario_gives_must_be_carried_as_well(item: Any) -> None:
    """A Python list or function is checked in the same way, by the item's number."""
    if item == [[[]] * 2] * 2:
        assert items([item]) == [item]
        return
    with pytest.raises(UsageError, match=r"the scenario, item 2: .*Allowed"):
        sources.read(["a", item])


def test_duplicates_are_counted_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A repeated item is used once, and a warning has the number of duplicates."""
    with caplog.at_level(logging.WARNING):
        data = sources.read(written(tmp_path, "ids.json", '["a", "b", "a", "a"]'))
    assert (list(data.items), data.duplicates) == (["a", "b"], 2)
    assert "2 duplicates left out" in data.sentence
    assert "2 duplicates" in caplog.text
    assert items([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 3}]) == [{"a": 1, "b": 2}, {"a": 1, "b": 3}]


def test_the_header_row_is_said(tmp_path: Path) -> None:
    """A person can thus notice a first item that was taken for a header."""
    data = sources.read(written(tmp_path, "ids.csv", "ada\neve\n"))
    assert data.sentence == f"1 items from {tmp_path}/ids.csv with the column ada"
    data = sources.read(written(tmp_path, "ids.csv", "id;name\n1;Ada\n2;Eve\n"))
    assert data.sentence == f"2 items from {tmp_path}/ids.csv with the columns id, name"


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    """The format is that of the suffix before .gz; damaged files are refused."""
    whole = gzip.compress(b"id,name\n" + b"".join(b"%d,x\n" % number for number in range(10_000)))
    (tmp_path / "a.csv.gz").write_bytes(whole)
    assert len(sources.read(str(tmp_path / "a.csv.gz")).items) == 10_000
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[1, 2]"))
    assert items(str(tmp_path / "a.json.gz")) == [1, 2]
    for damaged in (b"id\n1\n", whole[:-100], whole[:100] + b"\0\0\0\0" + whole[104:]):
        (tmp_path / "a.csv.gz").write_bytes(damaged)
        with pytest.raises(UsageError, match=r"a\.csv\.gz cannot be read.*Next: "):
            sources.read(str(tmp_path / "a.csv.gz"))


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_wrong_encoding_is_named_by_line_and_column(tmp_path: Path, ending: str) -> None:
    """The error has the byte and its position."""
    (tmp_path / f"a.{ending}").write_bytes('"ü"\n"ü'.encode() + b'\xff"\n')
    with pytest.raises(UsageError, match=rf"a\.{ending}, line 2, column 3: byte 0xff is not UTF-8"):
        sources.read(str(tmp_path / f"a.{ending}"))


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    """A missing, unreadable, special or unknown file is an error with a remedy, raised immediately."""
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, words in (
        ("none.json", "cannot be read"),
        ("ids.xml", "unknown format"),
        ("folder.json", "it is a directory"),
        ("pipe.csv", "it is not a regular file"),
    ):
        with pytest.raises(UsageError, match=rf"{name} .*{words}.*Next: "):
            sources.read(str(tmp_path / name))


def test_a_file_that_grows_is_refused(tmp_path: Path) -> None:
    """Its last line may be incomplete."""
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    file = DataFile(path)
    rows = file.table("")
    next(rows)
    with path.open("a") as writer:
        writer.write("2\n")
    with pytest.raises(UsageError, match="it changed while it was read"):
        list(rows)


def test_lists_and_functions_are_sources() -> None:
    """A scenario may contain its items, or generate them."""
    assert items(["a", "a"]) == items(lambda: ["a"]) == ["a"]


@pytest.mark.parametrize("made", [None, "users.csv", b"ab", {"id": 1}, 7])
def test_a_function_that_returns_no_list_is_named(made: Any) -> None:
    """Letters of a text, or keys of a mapping, are not items."""
    with pytest.raises(UsageError, match=rf"{__file__}, line \d+: the feed is of the type .*Allowed: a list"):
        sources.read(lambda: made)
    with pytest.raises(UsageError, match=r"the scenario: the feed is of the type .*Allowed: a list"):
        sources.read({"id": 1})


@pytest.mark.parametrize("url", ["redis://user:secret@127.0.0.1:1/0", "redis://:secret@127.0.0.1:x/0"])
def test_an_unreachable_store_is_an_error_without_its_password(url: str) -> None:
    """Error messages contain no secret."""
    with pytest.raises(LoadtestError) as raised:
        sources.read(url)
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)

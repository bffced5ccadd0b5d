"""Small inputs that would exhaust a machine: nested, large or slow ones. Each is refused, or read, quickly."""

import gzip
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from loadtest import untrusted
from loadtest.authoring import har_scenario, openapi_scenario
from loadtest.authoring.openapi_document import OpenApiDocument
from loadtest.authoring.postman_collection import PostmanCollection
from loadtest.capacity import against
from loadtest.cli import main
from loadtest.comparing import baselines, run_figures
from loadtest.exceptions import LoadtestError
from loadtest.feeding import sources
from loadtest.judging import threshold_parser, thresholds
from loadtest.measuring import blocks, record_dict, record_file
from loadtest.measuring.blocks import BlockTable
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.profiles.curve_file import CurveFile
from loadtest.profiles.profile import read_profiles
from loadtest.replaying.monitor_log import MonitorLog
from loadtest.replaying.replay import Replay, Selection
from loadtest.reporting import document as run_document
from loadtest.reporting import files
from loadtest.run_folder import RECORD, STREAM
from loadtest.settings.config import Config
from loadtest.settings.credentials import read_accounts, read_token
from tests import reports

LONGEST_S = 10.0
"""Of processor time, on a slow machine; what is refused takes less than one."""
DEEP = 100_000


def record(path: Path, frame: bytes) -> None:
    """Write a record whose last frame is this one, and read it."""
    RecordFile(path / STREAM, RunRecord("r1", 1.7e9, {})).close()
    with (path / STREAM).open("ab") as file:
        file.write(frame)
    record_file.read(path / STREAM)


def document(path: Path, text: str) -> None:
    """Read a run's document."""
    (path / RECORD).write_text(text)
    run_document.read(path)


def toml(path: Path, text: str) -> None:
    """Read profiles and thresholds."""
    (path / "file.toml").write_text(text)
    with pytest.raises(LoadtestError):
        thresholds.of(Config(thresholds_file=path / "file.toml"), list)
    read_profiles(path / "file.toml")


def ids(path: Path, name: str, text: str) -> None:
    """Read a feed."""
    (path / name).write_text(text)
    sources.read(str(path / name))


def openapi(path: Path, text: str) -> None:
    """Draft a scenario."""
    (path / "api.json").write_text(text)
    openapi_scenario.draft(OpenApiDocument.read(str(path / "api.json")), "api")


def operation(schema: object, **schemas: object) -> str:
    """Return a document with one operation whose body has this schema."""
    body = {"content": {"application/json": {"schema": schema}}}
    paths = {"/": {"post": {"requestBody": body}}}
    return json.dumps({"openapi": "3.0.3", "paths": paths, "components": {"schemas": schemas}})


def compressed(path: Path, head: bytes, part: bytes, read: Callable[[str], object]) -> None:
    """Read a file that decompresses from a few kilobytes."""
    path.write_bytes(gzip.compress(head + part * 8_000))
    read(str(path))


def log(path: Path, line: str) -> None:
    """Read a log for a replay."""
    (path / "a.log").write_text(line)
    Replay.of(path / "a.log", Selection())


def monitored(path: Path, line: str) -> None:
    """Read a log of MONITOR for a replay."""
    (path / "a.log").write_text(line)
    MonitorLog(path / "a.log")


def har(path: Path, text: str) -> None:
    """Draft from a recording."""
    (path / "a.har").write_text(text)
    har_scenario.draft(path / "a.har")


def postman(path: Path, body: str) -> None:
    """Draft from a collection whose variables hold others."""
    variables = [{"key": f"v{number}", "value": f"{{{{v{number + 1}}}}}" * 50} for number in range(1, 5)]
    item = {"request": {"method": "POST", "url": "http://a.example/", "body": {"mode": "raw", "raw": body}}}
    (path / "a.json").write_text(json.dumps({"variable": [*variables, {"key": "v5", "value": "long"}], "item": [item]}))
    PostmanCollection(path / "a.json")


def repeated(path: Path) -> None:
    """Read one value with a large declared count."""
    rows = pa.DictionaryArray.from_arrays(np.zeros(10_000_000, np.int8), ["u1"])
    parquet.write_table(pa.table({"id": rows}), path / "a.parquet")
    sources.read(str(path / "a.parquet"))


def one_list(path: Path) -> None:
    """Read one row, a list of one value with a large declared count."""
    values = pa.DictionaryArray.from_arrays(np.zeros(10_000_000, np.int8), ["u1"])
    parquet.write_table(pa.table({"id": pa.ListArray.from_arrays([0, len(values)], values)}), path / "a.parquet")
    sources.read(str(path / "a.parquet"))


def capacity(path: Path, text: str) -> None:
    """Read the result of a capacity search."""
    (path / against.FILE).write_text(text)
    against.Found.read(path)


def curve(path: Path, text: str) -> None:
    """Read the rates of a profile from a response of Prometheus."""
    (path / "a.json").write_text(text)
    CurveFile(path / "a.json")


STATE = b'{"delivery":{"missing":[]},"workers":['
BOMBS: dict[str, Callable[[Path], object]] = {
    "deep document": lambda path: document(path, "[" * DEEP),
    "deep document with an end": lambda path: document(path, "[" * DEEP + "]" * DEEP),
    "document of empty lists": lambda path: document(path, "[" + "[]," * 10_000_000 + "[]]"),
    "document of one long number": lambda path: document(path, "9" * 1_000_000),
    "document of a number that no float holds": lambda path: document(path, f'{{"format": {"9" * 400}}}'),
    "document of a text without an end": lambda path: document(path, '"\\' * 5_000_000),
    "stream of holes": lambda path: (
        (path / STREAM).touch(), os.truncate(path / STREAM, 2**37), run_document.read(path)
    ),
    "stream of frames of nothing": lambda path: (
        (path / STREAM).write_bytes(record_file._PRELUDE),
        os.truncate(path / STREAM, 2**32 - 1),
        run_document.read(path),
    ),
    "stream of headers": lambda path: record(path, record_file._frame(b"H", b'{"run_id": "a"}')),
    "document that is a pipe": lambda path: (os.mkfifo(path / RECORD), run_document.read(path)),
    "stream that is a pipe": lambda path: (os.mkfifo(path / STREAM), run_document.read(path)),
    "stream of spaces": lambda path: record(path, record_file._frame(b"W", b" " * 60_000_000)),
    "stream of empty lists": lambda path: record(
        path, record_file._frame(b"W", STATE + b"[]," * 20_000_000 + b"[]]}")
    ),
    "stream of a number that no float holds": lambda path: record(
        path, record_file._frame(b"R", b'{"second": 1' + b"0" * 400 + b"}")
    ),
    "deep stream": lambda path: record(path, record_file._frame(b"W", STATE + b"[" * DEEP)),
    "stream of empty arrays": lambda path: record(
        path, record_file._frame(b"S", b"\xdd" + (60_000_000).to_bytes(4) + b"\x90" * 60_000_000)
    ),
    "deep TOML": lambda path: toml(path, "a = " + "[\n" * 5_000),
    "long number in TOML": lambda path: toml(path, f"a = {'9' * 1_900}"),
    "longer number in TOML": lambda path: toml(path, f"a = {'9' * 10_000}"),
    "20,000 profiles": lambda path: toml(path, "".join(f"[p{number}]\n" for number in range(20_000))),
    "keys of many parts": lambda path: toml(
        path, "\n".join("a." * 900 + f"b{number} = 1" for number in range(100))
    ),
    "TOML that is a pipe": lambda path: (os.mkfifo(path / "pipe"), read_profiles(path / "pipe")),
    "settings that are a pipe": lambda path: (
        os.mkfifo(path / "pipe"), Config.load(environ={}, file=path / "pipe")
    ),
    "deep feed": lambda path: ids(path, "ids.json", "[" * DEEP),
    "deep line of a feed": lambda path: ids(path, "ids.jsonl", "[" * DEEP),
    "feed of a decimal that nothing holds": lambda path: ids(path, "a.jsonl", '{"$numberDecimal": "1e99999999"}'),
    "feed of a date that no calendar has": lambda path: ids(path, "a.jsonl", '{"$date": {"$numberLong": "1e400"}}'),
    "feed that is a link to a device": lambda path: (
        (path / "a.csv").symlink_to("/dev/zero"), sources.read(str(path / "a.csv"))
    ),
    "feed that is a pipe": lambda path: (os.mkfifo(path / "a.csv"), sources.read(str(path / "a.csv"))),
    "deep OpenAPI": lambda path: openapi(path, '{"openapi": "3.0.3", "paths": ' + "[" * DEEP),
    "OpenAPI of empty lists": lambda path: openapi(path, "[" + "[]," * 5_000_000 + "[]]"),
    "OpenAPI that refers to a pipe": lambda path: (
        os.mkfifo(path / "b.json"), openapi(path, '{"openapi": "3.0.3", "paths": {"/": {"$ref": "b.json"}}}')
    ),
    "OpenAPI that refers to another of many values": lambda path: (
        (path / "b.json").write_text("[" + "7," * 990_000 + "7]"),
        (path / "c.json").write_text("[" + "7," * 990_000 + "7]"),
        openapi(path, '{"openapi": "3.0.3", "paths": {"/": {"$ref": "b.json"}, "/c": {"$ref": "c.json"}}}'),
    ),
    "feed that inflates": lambda path: compressed(path / "a.csv.gz", b"id\n", b"u" * 999 + b"\n", sources.read),
    "feed of spaces that inflate": lambda path: compressed(path / "a.json.gz", b"", b" " * 1_000, sources.read),
    "accounts that inflate": lambda path: compressed(
        path / "a.csv.gz", b"login,password\n", b"u" * 800 + b",p\n", lambda name: read_accounts(Path(name))
    ),
    "token that inflates": lambda path: compressed(
        path / "a.gz", b"", b" " * 1_000, lambda name: read_token(Path(name))
    ),
    "log that inflates": lambda path: compressed(
        path / "a.log.gz", b"", b" " * 999 + b"\n", lambda name: Replay.of(Path(name), Selection())
    ),
    "MONITOR log that inflates": lambda path: compressed(
        path / "a.log.gz",
        b"OK\n",
        b'1.000001 [0 lua] "get" "' + b"a" * 970 + b'"\n',
        lambda name: MonitorLog(Path(name)),
    ),
    "MONITOR log of one quotation": lambda path: monitored(path, '1.000001 [0 lua] "get" "' + "a" * 2_000_000 + "\n"),
    "MONITOR log of many words": lambda path: monitored(path, "1.000001 [0 lua]" + ' "a"' * 500_000 + " a\n"),
    "log of one quotation": lambda path: log(path, '1.2.3.4 - - [31/Jan/2026:12:00:00 +0000] "' + "a" * 2_000_000),
    "log of a status of many digits": lambda path: log(
        path, f'http 2026-01-31T12:00:00Z a b c 0 0 0 {"9" * 5_000} 200 0 0 "GET  HTTP/1.1" "x" - - a b'
    ),
    "log of long hosts": lambda path: log(
        path, "".join(f'{{"time": 1, "method": "GET", "uri": "/", "host": "{one * 1_000_000}"}}\n' for one in "ab")
    ),
    "deep log": lambda path: log(path, '{"a":' * DEEP),
    "Parquet of one value": repeated,
    "Parquet of one list": one_list,
    "deep HAR": lambda path: har(path, '{"log": ' + "[" * DEEP),
    "HAR of empty lists": lambda path: har(path, '{"log": [' + "[]," * 10_000_000 + "[]]}"),
    "HAR that is a pipe": lambda path: (os.mkfifo(path / "b.har"), har_scenario.draft(path / "b.har")),
    "Postman of variables in variables": lambda path: postman(path, "{{v1}}" * 50),
    "YAML of merges": lambda path: openapi(
        path, "a0: &a0 {a: 1, b: 2}\n" + "".join(
            f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 9)
        )
    ),
    "YAML that merges itself": lambda path: openapi(path, "a: &a {<<: *a}\n"),
    "rule of spaces": lambda path: threshold_parser.parse("p99(" + " " * 4_000, str(path)),
    "baselines that are a pipe": lambda path: (os.mkfifo(path / baselines.FILE), baselines.read(path)),
    "deep baselines": lambda path: (
        (path / baselines.FILE).write_text("[" * DEEP), baselines.read(path)
    ),
    "capacity of a number that no float holds": lambda path: capacity(
        path, f'{{"scenario": "a", "slo": "b", "rate_per_s": 1{"0" * 400}, "low_per_s": 0, "high_per_s": null}}'
    ),
    "deep capacity": lambda path: capacity(path, "[" * DEEP),
    "capacity that is a pipe": lambda path: (os.mkfifo(path / against.FILE), against.Found.read(path)),
    "figures of a run that are a pipe": lambda path: (
        (path / RECORD).touch(), os.mkfifo(path / run_figures.FILE), run_figures.RunFigures.read(path)
    ),
    "deep figures of a run": lambda path: (
        (path / RECORD).touch(), (path / run_figures.FILE).write_text("[" * DEEP), run_figures.RunFigures.read(path)
    ),
    "deep curve": lambda path: curve(path, "[" * DEEP),
    "curve of empty lists": lambda path: curve(path, "[" + "[]," * 5_000_000 + "[]]"),
    "curve of a number that no float holds": lambda path: curve(path, f'{{"status": 1{"0" * 400}}}'),
    "OpenAPI of wrong parts": lambda path: openapi(path, '{"openapi": "3.0.3", "paths": {"/": {"get": 7}}}'),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=list(BOMBS))
def test_bombs(bomb: Callable[[Path], object], tmp_path: Path) -> None:
    """Any deep, big or slow input is refused quickly, with a message of our own."""
    began_s = time.process_time()
    with pytest.raises(LoadtestError) as refused:
        bomb(tmp_path)
    assert (time.process_time() - began_s < LONGEST_S, len(str(refused.value)) < 5_000) == (True, True)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_text_without_an_end_takes_little_memory(quote: str, tmp_path: Path) -> None:
    """A backtracking pattern remembers each character, in more than a hundred bytes."""
    (tmp_path / "a.jsonl").write_text(quote + "a" * 9_000_000)
    with pytest.raises(LoadtestError, match="not JSON"), untrusted.bounded(LoadtestError, 60, 2**29):
        sources.read(str(tmp_path / "a.jsonl"))


def test_many_columns_are_read_soon(tmp_path: Path) -> None:
    """Looking each name up among all others would take minutes."""
    names = ["".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=4)]
    (tmp_path / "a.csv").write_text(f"{','.join(names)}\n{','.join('1' for _ in names)}\n")
    began_s = time.process_time()
    data = sources.read(str(tmp_path / "a.csv"))
    assert (len(data.items.columns), len(data.sentence) < 1_000) == (65_536, True)
    assert time.process_time() - began_s < LONGEST_S


def test_a_schema_that_refers_to_itself_twice_ends(tmp_path: Path) -> None:
    """Required parts beyond a maximum number are null."""
    node = {"$ref": "#/components/schemas/Node"}
    tree = {"type": "object", "required": ["a", "b"], "properties": {"a": node, "b": node}}
    lists = {"type": "array", "minItems": 20, "items": {"$ref": "#/components/schemas/Node"}}
    for schema in (tree, lists):
        (tmp_path / "api.json").write_text(operation(node, Node=schema))
        text = openapi_scenario.draft(OpenApiDocument.read(str(tmp_path / "api.json")), "api").text
        compile(text, "api.py", "exec")
        assert len(text) < 500_000


def test_blocks_that_inflate_or_lie_far_apart_are_refused() -> None:
    """A comparison allocates memory for all blocks between the first and the last."""
    packed = record_dict.as_dict(RunRecord("r", 0.0))["blocks"]
    wide = {**packed, "width_s": 0}
    far = {**packed, "counts": blocks._packed(np.full((4, 1), 2**32 - 1, np.uint32))}
    long = {**packed, "counts": blocks._packed(np.zeros((4, 10_000_000), np.uint32))}
    for damaged in (wide, far, long):
        with pytest.raises(LoadtestError, match="blocks are damaged"):
            BlockTable.of(damaged)


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": "yesterday"},
        {"total": {"requests": "many"}},
        {"total": None},
        {"verdict": []},
        {"configuration": 7},
        {"load_s": float("inf"), "duration_s": "1"},
    ],
)
def test_one_damaged_folder_does_not_hide_the_others(tmp_path: Path, change: dict[str, object]) -> None:
    """`loadtest history` lists the others, and names the one that cannot be read."""
    good = files.of(reports.run_document(reports.record(5, per_s=5)))
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        assert files.write(tmp_path / name, good) == []
    whole = json.loads((tmp_path / "bad" / RECORD).read_text())
    (tmp_path / "bad" / RECORD).write_text(json.dumps({**whole, **change}))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / RECORD).write_text("[" * DEEP)
    done = CliRunner(env={"LOADTEST_RUNS_DIR": str(tmp_path)}).invoke(main, ["history"])
    assert (done.exit_code, "good" in done.output, done.output.count("skipped: ")) == (0, True, 2), done.output

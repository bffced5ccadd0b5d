"""Random input from users and files: it is accepted, or refused cleanly.

Clean means an error of the product's own tree, whose text has a next step. Any other, such as a KeyError, fails a test.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtest.capacity import against
from loadtest.comparing import baselines
from loadtest.exceptions import RecordError, UsageError
from loadtest.feeding import sources
from loadtest.judging import threshold_parser, thresholds
from loadtest.measuring import record_dict, record_file
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.recorder import Recorder
from loadtest.profiles.profile import read_profiles
from loadtest.reporting import document as run_document
from loadtest.reporting import files, summary
from loadtest.run_folder import RECORD, STREAM
from loadtest.settings.config import Config, variable
from loadtest.settings.credentials import read_accounts, read_token
from loadtest.settings.hosts import Targets
from loadtest.workload import description
from loadtest.workload.operations import OPERATIONS
from tests.fuzz.cases import fuzz

VARIABLES = [variable(setting) for setting in Config.model_fields]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-3, 3), st.sampled_from([1e308, -0.0, 2**63, 2**64]))
WORDS = st.sampled_from(
    [
        *("10", "0", "-1", "1e9", "nan", "inf", "20s", "1m30s", "0.5%", "50ms", "http://", "http://a:99999"),
        *("file:///x", "redis://h", "unix:///s", "*", "1", "yes", "[::1", "%00"),
    ]
)
VALUES = st.one_of(WORDS, TEXTS, NUMBERS.map(str))


def one_of_ours(error: UsageError | RecordError) -> None:
    """Check that an error says something, and is no page long."""
    assert 10 < len(str(error)) < 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by the cases of a test."""
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(st.dictionaries(st.one_of(st.sampled_from(VARIABLES), TEXTS.map("LOADTEST_".__add__)), VALUES, max_size=4))
def test_settings(environ: dict[str, str]) -> None:
    """Any environment is a Config that a child process understands the same way, or a usage error."""
    try:
        config = Config.load(environ=environ, file=Path("/nonexistent"))
    except UsageError as error:
        one_of_ours(error)
        return
    assert Config.load(environ=config.environment(), file=Path("/nonexistent")) == config


LINES = st.one_of(st.builds("{}={}".format, st.sampled_from(VARIABLES), VALUES), TEXTS, st.just("# a comment"))


@fuzz
@given(content=st.one_of(st.lists(LINES, max_size=5).map("\n".join).map(str.encode), st.binary(max_size=200)))
def test_settings_file(folder: Path, content: bytes) -> None:
    """Any file of settings is read, or refused."""
    file = folder / "loadtest.env"
    file.write_bytes(content)
    try:
        Config.load(environ={}, file=file)
    except UsageError as error:
        one_of_ours(error)


def toml(value: object) -> str:
    """Return a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


FIELDS = st.sampled_from(
    [
        *("users", "spawn_rate", "run_time", "rate", "stages", "duration", "model", "think_time", "start_rate"),
        *("pool", "description", "max_users"),
    ]
)
PLAIN = st.one_of(NUMBERS, st.booleans(), VALUES)
ANY_TOML = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=4)),
    max_leaves=8,
)
STAGE = st.fixed_dictionaries(
    {"duration": st.one_of(st.sampled_from(["2s", "1m", "0s", "1h"]), PLAIN)},
    optional={"users": st.one_of(st.integers(0, 20), PLAIN), "rate": st.one_of(st.floats(0, 50), PLAIN)},
)
PROFILE = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"model": st.sampled_from(["open", "closed", "ajar"]), "stages": st.lists(STAGE, max_size=4)}
    ),
    st.fixed_dictionaries({"users": PLAIN, "spawn_rate": PLAIN, "run_time": PLAIN}),
    st.dictionaries(FIELDS, ANY_TOML, max_size=5),
)


@fuzz
@given(tables=st.dictionaries(TEXTS, st.one_of(PROFILE, ANY_TOML), max_size=3), tail=st.one_of(st.just(""), TEXTS))
def test_profiles(folder: Path, tables: dict[str, Any], tail: str) -> None:
    """Any file of profiles is refused, or holds profiles whose numbers can be drawn over their whole length."""
    file = folder / "profiles.toml"
    file.write_text("\n".join(f"{json.dumps(name)} = {toml(table)}" for name, table in tables.items()) + f"\n{tail}")
    try:
        profiles = read_profiles(file)
    except UsageError as error:
        one_of_ours(error)
        return
    for profile in profiles.values():
        assert profile.run_time_s > 0
        for share in (0.0, 0.5, 1.0):
            assert 0 <= profile.users_at(share * profile.run_time_s) <= profile.peak_users
            assert profile.curve.level_at(share * profile.run_time_s) >= 0


PIECES = st.sampled_from(
    [
        *(
            "p99",
            "p(",
            "99.9",
            ")",
            "(response_time)",
            "response_time",
            "error_ratio",
            "requests",
            "rate",
            "{",
            "name=",
        ),
        *('"a/b"', "}", "<", "<=", ">", ">=", "==", "50ms", "1%", "1/s", "0.5s", ",", "!", "abort_on_fail", "mean"),
        *("max", "count", "nan", "1e400", "-5", "5", "ms", "\\", '"', "😀"),
    ]
)
RULES = st.one_of(st.lists(PIECES, max_size=12).map(" ".join), st.lists(PIECES, max_size=12).map("".join), TEXTS)


@fuzz
@given(RULES)
def test_threshold_rules(text: str) -> None:
    """Any text is a usage error, or rules that parse to the same rules again."""
    try:
        rules = threshold_parser.parse(text, "here")
    except UsageError as error:
        one_of_ours(error)
        return
    for rule in rules:
        assert [rule] == threshold_parser.parse(rule.condition, "here") or rule.condition


@fuzz
@given(
    tables=st.dictionaries(
        st.one_of(FIELDS, TEXTS, st.sampled_from(["thresholds", "rule", "rules"])), ANY_TOML, max_size=3
    ),
    rules=st.lists(RULES, max_size=3),
)
def test_thresholds_file(folder: Path, tables: dict[str, Any], rules: list[str]) -> None:
    """Any file of rules is read or refused."""
    file = folder / "thresholds.toml"
    lines = [f"thresholds = {toml(rules)}"] if "thresholds" not in tables else []
    file.write_text("\n".join([*lines, *(f"{json.dumps(name)} = {toml(table)}" for name, table in tables.items())]))
    try:
        thresholds.of(Config(thresholds_file=file), lambda: [("GET", "a/b")])
    except UsageError as error:
        one_of_ours(error)


WORKLOAD_KEYS = st.sampled_from(
    ["pattern", "size", "fill", "distribution", "ttl", "per_mget", "size_bytes", "depth", *OPERATIONS]
)
WORKLOAD_VALUES = st.one_of(
    st.integers(0, 1_000),
    st.sampled_from(["{n}", "zipf(1)", "hot_set(0.1,0.9)", "gaussian(2)", "5s", 1.0, [1, 2], [300, 200]]),
    ANY_TOML,
)
WORKLOAD_TABLE = st.dictionaries(st.one_of(WORKLOAD_KEYS, FIELDS), WORKLOAD_VALUES, max_size=6)


@fuzz
@given(
    tables=st.dictionaries(
        st.one_of(st.sampled_from(["keys", "values", "operations", "seed", "read_share"]), FIELDS),
        st.one_of(WORKLOAD_TABLE, WORKLOAD_VALUES),
        max_size=5,
    )
)
def test_workloads(folder: Path, tables: dict[str, Any]) -> None:
    """Any workload file is refused, or describes a workload with keys and operations."""
    file = folder / "workload.toml"
    file.write_text("\n".join(f"{json.dumps(name)} = {toml(table)}" for name, table in tables.items()))
    try:
        found = description.read(file)
    except UsageError as error:
        one_of_ours(error)
        return
    assert sum(found.shares.values()) > 0
    assert found.keys.namer("")(found.keys.size - 1)
    assert 0 <= found.keys.filled <= found.keys.size


HOSTS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "//", "", "file://", "http:", "http://a@", "\t"]),
    st.one_of(
        st.ip_addresses().map(str), st.ip_addresses(v=6).map("[{}]".format), TEXTS, st.sampled_from(["localhost"])
    ),
    st.sampled_from(["", ":80", ":x", ":-1", ":99999999999999"]),
    st.one_of(st.just(""), TEXTS),
)


@fuzz
@given(allowed=st.one_of(st.none(), TEXTS, st.ip_addresses().map(str)), url=HOSTS.filter(lambda url: len(url) < 90))
def test_hosts(allowed: str | None, url: str) -> None:
    """Any host is allowed or refused; without a setting, only this machine is allowed."""
    try:
        Targets(allowed).check(url)
    except UsageError as error:
        one_of_ours(error)
        return
    if allowed is None:
        assert any(name in url.lower() for name in ("localhost", "127.", "[::1]", "::ffff:7f"))


NAMES = st.sampled_from(
    [
        *("run_id", "started_at", "configuration", "context", "delivery", "missing", "workers", "events", "second"),
        *("completeness", "refused", "repeated", "verdict", "name", "reasons", "thresholds", "rule", "outcome"),
    ]
)
JSON = st.recursive(
    st.one_of(st.none(), PLAIN),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=10,
)
DOCUMENTS = st.one_of(JSON.map(json.dumps).map(str.encode), st.binary(max_size=50))


@pytest.fixture(scope="module")
def valid(folder: Path) -> bytes:
    """A record file as a run writes it."""
    record = RunRecord("r1", 1_700_000_000.0, {"profile": "quick"})
    file = RecordFile(folder / "valid.stream", record)
    recorder = Recorder()
    recorder.series("shop", "GET", "a").success(1.0, 1.0, 1.5, 10)
    file.add(0, recorder.take(), {"shop": 1})
    file.close()
    return (folder / "valid.stream").read_bytes()


KINDS = st.one_of(st.sampled_from([b"H", b"S", b"W", b"R", b"E"]), st.binary(min_size=1, max_size=1))
FRAMES = st.lists(st.tuples(KINDS, DOCUMENTS), max_size=4)


@fuzz
@given(
    frames=FRAMES,
    cut=st.integers(0, 400),
    swap=st.one_of(st.none(), st.tuples(st.integers(0, 300), st.binary(max_size=9))),
)
def test_record_files(
    folder: Path, valid: bytes, frames: list[tuple[bytes, bytes]], cut: int, swap: tuple[int, bytes] | None
) -> None:
    """Any record file, including ones with valid checksums, is read and shown, or refused."""
    data = valid + b"".join(record_file._frame(kind, payload) for kind, payload in frames)
    if swap:
        data = data[: swap[0]] + swap[1] + data[swap[0] + len(swap[1]) :]
    (folder / STREAM).write_bytes(data if cut > len(data) else data[:-cut] if cut % 2 and cut else data)
    with contextlib.suppress(FileNotFoundError):
        (folder / RECORD).unlink()
    _show(folder, _summary)


@fuzz
@given(changes=st.dictionaries(st.sampled_from(run_document._REQUIRED), JSON, max_size=3), other=st.none() | DOCUMENTS)
def test_record_documents(folder: Path, valid: bytes, changes: dict[str, Any], other: bytes | None) -> None:
    """Any run document is shown and reported, or refused."""
    (folder / STREAM).write_bytes(valid)
    whole = {**VERDICT, **record_dict.as_dict(record_file.read(folder / STREAM)), **changes}
    (folder / RECORD).write_bytes(json.dumps(whole).encode() if other is None else other)
    _show(folder, lambda document: (_summary(document), files.of(document)))


VERDICT = {"verdict": {"name": "passed", "reasons": []}, "findings": [], "thresholds": []}


def _summary(document: run_document.Document) -> None:
    summary.show(document, Console(quiet=True))


def _show(folder: Path, make: Callable[[run_document.Document], object]) -> None:
    """Read a run and render it: the summary is quick, the report's files take most of a case's time."""
    try:
        with run_document.reading(folder):
            document = run_document.read(folder)
            make(document)
    except RecordError as error:
        one_of_ours(error)


KEYS = st.one_of(TEXTS, st.sampled_from(["documents/quick", "documents", "/"]))
FOUND = st.fixed_dictionaries(
    {"scenario": PLAIN, "slo": PLAIN},
    optional={rate: st.none() | PLAIN for rate in ("rate_per_s", "low_per_s", "high_per_s")},
)


@fuzz
@given(
    baseline=st.one_of(DOCUMENTS, st.dictionaries(KEYS, JSON, max_size=3).map(json.dumps).map(str.encode)),
    capacity=st.one_of(DOCUMENTS, FOUND.map(json.dumps).map(str.encode)),
    key=KEYS,
)
def test_baselines_and_capacities(folder: Path, baseline: bytes, capacity: bytes, key: str) -> None:
    """Any file of baselines or of a capacity search is read or refused."""
    (folder / baselines.FILE).write_bytes(baseline)
    (folder / against.FILE).write_bytes(capacity)
    for read in (lambda: baselines.find(folder, key), lambda: _held_against_itself(against.Found.read(folder))):
        try:
            read()
        except (UsageError, RecordError) as error:
            one_of_ours(error)


def _held_against_itself(found: against.Found) -> None:
    against.check(found, found.scenario, found.slo)
    assert found.run_id in against.conclusion(found, found)[1]


ROWS = st.lists(
    st.one_of(st.sampled_from(["id", "login,password", '{"id": 1}', '["a", {"b": []}]', '"', "a,b", "[", "]"]), TEXTS)
)


@fuzz
@given(
    content=st.one_of(ROWS.map("\n".join).map(str.encode), st.binary(max_size=100)),
    ending=st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".csv.gz", ".parquet", ".txt"]),
)
def test_feeds_and_accounts(folder: Path, content: bytes, ending: str) -> None:
    """Any file of records, of accounts or of a token is read, or refused."""
    file = folder / f"records{ending}"
    file.write_bytes(content)
    for read in (lambda: sources.read(str(file)), lambda: read_accounts(file), lambda: read_token(file)):
        try:
            read()
        except (UsageError, RecordError) as error:
            one_of_ours(error)

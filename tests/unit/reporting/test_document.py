"""Document: a run's folder is read back, however the run ended."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from loadtest.exceptions import RecordError
from loadtest.measuring.histogram import samples_needed
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_dict import QUANTILES
from loadtest.measuring.record_file import RecordFile
from loadtest.measuring.record_rows import Interruption
from loadtest.measuring.recorder import Recorder
from loadtest.reporting import chart_data, document, markdown, percentile_intervals, run_page, summary
from loadtest.run_folder import RECORD, STREAM
from tests import reports

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "record.schema.json").read_text())


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    """The folder of a run whose master was killed."""
    RecordFile(tmp_path / STREAM, RunRecord("cut", 1_700_000_000.0, {"scenario": "documents"})).close()
    return tmp_path


def write(folder: Path, text: str) -> None:
    """Write a record.json."""
    (folder / RECORD).write_text(text)


def test_a_run_that_was_cut_off_is_interrupted(cut_off: Path) -> None:
    """Without record.json there is no verdict, and the record shows how far it goes."""
    read = document.read(cut_off)
    assert (read["run_id"], read["verdict"]["name"]) == ("cut", "interrupted")


def test_a_document_is_read_back_as_it_was(tmp_path: Path) -> None:
    """The document that is read equals the one that was written."""
    made = reports.run_document()
    write(tmp_path, json.dumps(made))
    assert document.read(tmp_path) == json.loads(json.dumps(made))


def test_a_cut_off_record_says_what_interrupted_the_run(tmp_path: Path) -> None:
    """The master closed the record and ended before it could report: the stream has the reason."""
    record = RunRecord("cut", 1_700_000_000.0, interruption=Interruption("SIGHUP", 2.5, 2.0, 20.0))
    RecordFile(tmp_path / STREAM, record).close()
    assert document.read(tmp_path)["verdict"]["reasons"] == [
        "interrupted after 2.0 s of 20 s of load (10% of the plan): SIGHUP",
        "the record ends without a report: the master was killed, or could not write it, as with a full disk",
    ]


WRONG = {
    "truncated": ('{"format": 3, "run_', r"it is truncated or damaged"),
    "older": ('{"format": 1}', r"its format is 1. Allowed: a complete document of format 3"),
    "newer": ('{"format": 4}', r"its format is 4"),
    "no document": ("[1]", r"its format is None"),
    "not whole": ('{"format": 3, "run_id": "x"}', r"it lacks started_at, .*thresholds\. Allowed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_document_says_which_version_is_read(cut_off: Path, case: str) -> None:
    """The error for a truncated, older, newer or foreign record.json has the supported version and the next step."""
    text, words = WRONG[case]
    write(cut_off, text)
    with pytest.raises(RecordError, match=words) as raised:
        document.read(cut_off)
    assert "format 3, the one that this version reads" in str(raised.value)
    assert "move it away to read the run from" in str(raised.value)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    """A folder that is not a run's, or does not exist, is an error."""
    with pytest.raises(RecordError, match=r"record\.stream cannot be read"):
        document.read(tmp_path)
    with pytest.raises(RecordError, match=r"there is no run in .*nowhere.*loadtest history"):
        document.read(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["whole", "empty", "interrupted", "cut off"])
def test_documents_follow_the_schema(cut_off: Path, kind: str) -> None:
    """A run with everything, an empty one and one that was cut off are valid by the schema."""
    made = {
        "whole": lambda: reports.run_document(reports.record(failing="a")),
        "interrupted": lambda: reports.run_document(
            RunRecord("short", 0.0, interruption=Interruption("SIGTERM", 1.0, 1.0, None))
        ),
        "empty": lambda: reports.run_document(RunRecord("none", 0.0)),
        "cut off": lambda: document.read(cut_off),
    }[kind]()
    jsonschema.validate(json.loads(json.dumps(made)), SCHEMA, jsonschema.Draft202012Validator)


def test_the_schema_is_strict() -> None:
    """The schema itself is valid, knows the current version, and refuses unknown members."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    made = json.loads(json.dumps(reports.run_document()))
    for change in ({"format": 1}, {"surprise": 1}, {"duration_s": "20"}):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid({**made, **change})


def test_a_percentile_of_too_few_requests_is_no_number() -> None:
    """The 99th needs 299 requests, as in thresholds; a sentence says which percentiles need more."""
    few, enough = reports.run_document(reports.record(10)), reports.run_document(reports.record(15))
    times = [one["series"][0]["response_time"] for one in (few, enough)]
    shown = [document.percentile_ms(one, "p99_s") for one in times]
    assert [one["count"] for one in times] == [200, 300]
    assert (shown[0], float(shown[1]) > 10) == ("-", True)
    assert [document.lacking(one, "p99_s") for one in times] == ["needs 299, has 200", ""]
    assert document.percentile_ms(times[0], "max_s") != "-"
    assert document.times_sentences(few, ("p95_s", "p99_s", "max_s"))[-1] == (
        "a dash marks a percentile with too few samples: p99 needs 299; the fewest are 200"
    )
    assert not [one for one in document.times_sentences(enough, ("p95_s", "p99_s")) if "dash" in one]


def test_a_dash_is_explained_wherever_it_stands() -> None:
    """Even with enough requests, transactions and streamed responses may be too few and have dashes."""
    made = reports.run_document(reports.add_steps(reports.record(20, per_s=20, streamed="b")))
    assert document.times_sentences(made, ("p95_s", "p99_s"))[-1] == (
        "a dash marks a percentile with too few samples: p99 needs 299; the fewest are 100"
    )


def test_the_most_frequent_reasons_of_failures_come_first() -> None:
    """Each class and message has one line, with the first name that had it, and without a page of text."""
    made = reports.run_document(reports.record(5, failing="b"))
    error = made["errors"][0]
    made["errors"] = [
        error | {"message": "x" * 30 + " y" * 200, "occurrences": 7},
        *(error | {"name": name, "message": "down", "occurrences": 5} for name in ("b", "c")),
        *(error | {"message": str(number), "occurrences": 1} for number in range(3)),
    ]
    reasons = document.failure_reasons(made)
    assert len(reasons) == 3
    assert reasons[0] == "10 with status_5xx: down (GET b and 1 more), 22:13:20 to 22:13:24 UTC"
    assert reasons[1].startswith("7 with status_5xx: xxx")
    assert len(reasons[1]) < 230


def test_streamed_answers_are_in_every_report() -> None:
    """Their figures are the same in the document, on the page, on the terminal, and in the summary for a comment."""
    made = reports.run_document(reports.record(20, per_s=20, streamed="b"))
    (stream,) = made["streams"]
    assert (stream["name"], stream["ended_by"]) == ("b", {"server": 380, "user": 20, "timeout": 0, "error": 0})
    assert (stream["events"], stream["events_per_s"], stream["bytes_per_s"]) == (1200, 60.0, 1000.0)
    assert stream["pace_per_s"] == pytest.approx(100)
    assert [stream[kind]["count"] for kind in ("first_byte", "first_event", "event_gap")] == [400, 400, 800]
    ((one, figures),) = document.stream_rows(made)
    expected = ["400", "server 380, user 20", "1,200", "60.0", "100.0", "1.0"]
    assert (document.name_of(one), figures[:6]) == ("GET b", expected)
    assert [round(float(figure)) for figure in figures[6:]] == [20, 20, 50, 50, 10, 10, 10]
    assert [one["requests"] for one in made["series"]] == [400, 400]
    console = Console(width=60, record=True, file=io.StringIO())
    summary.show(made, console)
    for text in (run_page.html(made), console.export_text(), markdown.summary(made)):
        assert "streamed responses" in text.lower()
        assert [figure for figure in figures if figure not in text] == []
    assert "treamed responses" not in run_page.html(reports.run_document())


def times_of(part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the figures of each non-empty histogram in a document, with their place."""
    if isinstance(part, dict):
        if part.get("histogram") and part["count"]:
            yield place, part
        for key, value in part.items():
            yield from times_of(value, f"{place}/{key}")
    if isinstance(part, list):
        for value in part:
            yield from times_of(value, place)


def test_each_percentile_of_a_run_has_an_interval_that_holds_it() -> None:
    """This holds for each percentile of enough samples in the document; a day's document has no other."""
    made = reports.run_document(reports.everything(60))
    places = []
    for place, times in times_of(made):
        places.append(place)
        enough = {figure for figure, share in QUANTILES.items() if times["count"] >= samples_needed(share)}
        assert (place, set(times["intervals"])) == (place, enough)
        for figure, ends in times["intervals"].items():
            low, high = ends
            assert low <= times[figure] <= (high or 1.0)
    assert len(set(places)) == len(places) == 4 * 4 + 1 + 2 + 3 + 5


def test_names_beyond_the_most_frequent_have_no_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """This way a run of thousands of names still ends."""
    monkeypatch.setattr(percentile_intervals, "MAX_PERCENTILES", 1)
    made = reports.run_document(reports.record(20, names=("a", "b", "c")))
    assert sum("intervals" in one["response_time"] for one in made["series"]) == 1


def test_a_run_that_was_cut_off_has_intervals(tmp_path: Path) -> None:
    """They are computed from its stream."""
    stream, recorder = RecordFile(tmp_path / STREAM, RunRecord("cut", 1_700_000_000.0)), Recorder()
    for second in range(60):
        for request in range(20):
            recorder.series("documents", "GET", "a").success(0.0, 0.0, 0.01 * (1 + (request + second) % 7), 0)
        stream.add(second, recorder.take(), {})
    stream.close()
    assert set(document.read(tmp_path)["total"]["response_time"]["intervals"]) == {"p50_s", "p90_s", "p95_s", "p99_s"}


def test_a_group_of_names_has_intervals() -> None:
    """So do its members: twelve names, half of them under each of two prefixes."""
    made = reports.run_document(reports.record(60, names=tuple(f"{half}/{name}" for half in "xy" for name in range(6))))
    assert [(one["prefix"], len(one["members"])) for one in made["groups"]] == [("x", 6), ("y", 6)]
    quick, slow = (one["response_time"]["intervals"]["p50_s"] for one in made["groups"])
    assert quick[0] < made["groups"][0]["response_time"]["p50_s"] < quick[1] < slow[0]


def test_names_that_two_scenarios_have_are_distinguished() -> None:
    """The sides of a duet make the same requests: on the terminal, in the comment, on the page and its charts."""
    recorder, record = Recorder(), RunRecord("duet", 1_700_000_000.0)
    for scenario, name in (("base", "a"), ("new", "a"), ("new", "own")):
        for _ in range(20):
            recorder.series(scenario, "GET", name).success(0.0, 0.0, 0.01, 0)
    record.add(recorder.take(), 0)
    record.load_s, record.ended = 1.0, True
    made, console = reports.run_document(record), Console(width=200, record=True, file=io.StringIO())
    summary.show(made, console)
    terminal, comment, written = console.export_text(), markdown.summary(made), run_page.html(made)
    for title in ("a (base)", "a (new)", "own"):
        assert f" GET      {title} " in terminal
        assert f"| GET {title} |" in comment
        assert f"<tr class='' data-name='GET {title}'>" in written
    assert {one["name"] for one in chart_data.of(made)["names"][1:]} == {"GET a (base)", "GET a (new)", "GET own"}


def test_a_run_too_short_for_intervals_says_so() -> None:
    """A sentence replaces them."""
    made = reports.run_document(reports.record(3))
    assert document.times_sentences(made) == [
        "no 95 % intervals: the run is too short, with fewer than six independent segments"
    ]
    assert {document.interval_ms(times, "p50_s") for _, times in times_of(made)} == {""}
    assert document.times_sentences(reports.run_document(reports.record(60))) == []


@pytest.mark.parametrize(
    ("ends", "words"),
    [(None, ""), ([0.0, None], ""), ([0.002, None], "≥ 2.00"), ([0.0, 0.5], "0.000 to 500")],
)
def test_an_interval_without_ends_is_not_shown(ends: list[float | None] | None, words: str) -> None:
    """With few requests, or if only one end is known, only the known value is shown."""
    assert document.interval_ms({"intervals": {"p50_s": ends}}, "p50_s") == words


def test_text_and_page_show_each_percentile_with_its_interval() -> None:
    """This covers the median of each kind with a table."""
    made = reports.run_document(reports.everything(60))
    console = Console(width=200, record=True, file=io.StringIO())
    summary.show(made, console)
    terminal, comment, written = console.export_text(), markdown.summary(made), run_page.html(made)
    (series,), (stream,), (bought,) = made["series"], made["streams"], made["transactions"]
    of_text = [series["response_time"], series["failure_time"], stream["first_event"], bought["response_time"]]
    (setup,), (connections,), (scenario,) = made["setup"]["series"], made["connections"], made["scenarios"]
    of_page = [*of_text, setup["response_time"], connections["dns"], scenario["iteration_time"]]
    for times in of_text:
        interval = document.interval_ms(times, "p50_s")
        assert interval in terminal
        assert f"{document.percentile_ms(times, 'p50_s')} ({interval})" in comment
    for times in of_page:
        shown = f"{document.percentile_ms(times, 'p50_s')}<br><small>{document.interval_ms(times, 'p50_s')}</small>"
        assert shown in written
    lag = f"<small>{document.interval_ms(scenario['schedule_lag'], 'p99_s')}</small>"
    assert lag in written

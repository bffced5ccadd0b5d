"""summary.md: the content of a pull request's comment."""

from loadtest.measuring.record import RunRecord
from loadtest.reporting import markdown
from tests import reports


def test_verdict_thresholds_and_names_are_there() -> None:
    """The verdict is the heading, followed by its reasons, the rules and a row for each name."""
    text = markdown.summary(reports.run_document(reports.record(10)))
    assert text.startswith(
        "### ❌ Load test failed: documents with quick\nTarget: https://a.example (HOST, \\<b\\> of A)\n\n"
        "400 requests in 0:10, 0 failed · run run-1\n"
    )
    assert "| ❌ | p50(response\\_time) \\< 1us |" in text
    assert "\n| GET a | 200 | 0 | 20.0 |" in text
    assert "\n| all | 400 | 0 | 40.0 |" in text


def test_why_requests_failed_is_shown_with_the_verdict() -> None:
    """The most frequent reason comes first."""
    text = markdown.summary(reports.run_document(reports.record(10, failing="b")))
    (line,) = [line for line in text.split("| threshold |")[0].splitlines() if line.startswith("- Failed: ")]
    assert line.startswith("- Failed: 40 with status\\_5xx: 503 from")
    assert line.endswith("(GET b), 22:13:20 to 22:13:29 UTC")


def test_a_failed_request_is_shown_with_its_answer() -> None:
    """It is folded, in a fence that its content cannot close, and without mentions that notify people."""
    text = markdown.summary(reports.run_document(reports.record(10, failing="b")))
    folded = text[text.index("<details>") : text.index("</details>")]
    assert folded.startswith("<details><summary>A failed request: GET b: status_5xx</summary>\n\n````\nPOST https://")
    assert folded.count("````") == 2
    assert "\n→ 503 Service Unavailable\n" in folded


def test_successes_and_failures_are_apart_where_a_name_has_both() -> None:
    """Every fifth of 200 requests failed; a name without failures has one row."""
    text = markdown.summary(reports.run_document(reports.record(10, failing="b")))
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| …")]
    assert rows == [[" … succeeded ", " 160 ", " 0 "], [" … failed ", " 40 ", " 40 "]]


def test_transactions_and_checks_have_tables() -> None:
    """Each has a row under its name, and the requests are unchanged."""
    text = markdown.summary(reports.run_document(reports.add_steps(reports.record(10))))
    assert "400 requests in 0:10" in text
    assert "| transactions | made | failed | p50 ms | p95 ms | p99 ms |\n|---|---:|---:|---:|---:|---:|\n" in text
    assert "| check out | 100 | 20 | 500 | 500 | needs 299, has 100 |" in text
    assert "\\<img src=x" in text
    assert " | 400 | 1 |\n" in text


def test_iterations_have_a_line() -> None:
    """It has their number, the dropped ones, and their duration; a percentile of too few samples says so."""
    text = markdown.summary(reports.run_document(reports.add_iterations(reports.record(10))))
    assert "\n- Iterations: 400 of documents, 7 dropped; p50 250 ms, p95 250 ms, p99 250 ms\n" in text
    text = markdown.summary(reports.run_document(reports.add_iterations(reports.record(10), 30)))
    assert (
        "\n- Iterations: 30 of documents, 7 dropped; p50 250 ms, p95 needs 59, has 30, p99 needs 299, has 30\n" in text
    )
    assert "Iterations" not in markdown.summary(reports.run_document(reports.record(10)))


def test_names_cannot_break_out() -> None:
    """HTML, a table's bar and a line break in a name have no effect, and no mention notifies anybody."""
    text = markdown.summary(reports.run_document(reports.record(1, names=(reports.HOSTILE, "@team"))))
    (row,) = [line for line in text.splitlines() if "script" in line]
    assert row.startswith("| GET \\</script\\>\\<img src=x onerror=alert(1)\\>\"'& \\|\\`")
    assert "@team" not in text


def test_names_command_no_terminal() -> None:
    """The summary is in the logs of builds, too."""
    text = markdown.summary(reports.run_document(reports.record(1, names=("a\x1b]0;b\x07",))))
    assert ("a?\\]0;b?" in text, "\x1b" in text) == (True, False)


def test_many_names_are_cut() -> None:
    """A comment has a limit: further names are counted."""
    names = tuple(f"n{number}" for number in range(markdown.MAX_NAMES + 3))
    text = markdown.summary(reports.run_document(reports.record(1, names=names, per_s=1)))
    assert "3 more names are in the report." in text
    assert len(text) < 65_536


def test_an_empty_run_has_a_summary() -> None:
    """Without requests the verdict says so, and the table has no row."""
    text = markdown.summary(reports.run_document(RunRecord("none", 0.0)))
    assert "### ⚪ Load test no data" in text
    assert text.endswith("|---|---:|---:|---:|---:|---:|---:|\n")

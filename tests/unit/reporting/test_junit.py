"""JUnit: the verdict as test cases."""

import xml.etree.ElementTree as ET

from loadtest.judging.outcome import Result, decide
from loadtest.judging.threshold_parser import parse
from loadtest.judging.violation import Violation
from loadtest.measuring.record import ABORTED, RunRecord
from loadtest.measuring.record_rows import Interruption
from loadtest.reporting import document as run_document
from loadtest.reporting import junit
from tests import reports

VIOLATION = Violation("cpu", "worker 1", 0.99, 0.9, "worker 1 was at 99% CPU\x00")


def document(results: list[Result], violations: list[Violation], record: RunRecord | None = None) -> str:
    """Return the XML of a run."""
    record = record or reports.record(2)
    return junit.document(run_document.of(record, decide(record, violations, results)))


def cases(text: str) -> tuple[dict[str, str], dict[str, ET.Element]]:
    """Return the suite's attributes, and its test cases by name."""
    (suite,) = ET.fromstring(text)  # noqa: S314 - our own
    return suite.attrib, {case.attrib["name"]: case for case in suite.iter("testcase")}


def test_each_threshold_is_a_test_case() -> None:
    """Passed, failed and no data become a plain case, a failure and an error, and the suite counts them."""
    rules = parse('p99 < 50ms, max{name="a<b&c"} < 50ms, min < 1s', "here")
    results = [Result.of(rule, value) for rule, value in zip(rules, (0.02, 0.0612, None), strict=True)]
    attributes, found = cases(document(results, []))
    counts = {name: attributes[name] for name in ("name", "tests", "failures", "errors")}
    assert counts == {"name": "loadtest run-1", "tests": "5", "failures": "1", "errors": "1"}
    assert {case.attrib["classname"] for case in found.values()} == {"loadtest.documents"}
    passed, failed, without, trust, made = (list(case) for case in found.values())
    assert passed[0].text == "p99(response_time) < 50ms: passed with 20ms"
    assert (
        failed[0].tag,
        failed[0].attrib["message"],
    ) == ("failure", 'max(response_time){name="a<b&c"} < 50ms: failed with 61.2ms')
    assert (without[0].tag, without[0].attrib["type"]) == ("error", "no data")
    assert [trust, made] == [[], []]


def test_an_unfit_generator_is_an_error() -> None:
    """The trust case has every finding, without the characters that XML forbids."""
    attributes, found = cases(document([], [VIOLATION, VIOLATION]))
    (error,) = found["the load generator was fit to measure"]
    assert (attributes["errors"], error.attrib["message"]) == ("1", "worker 1 was at 99% CPU\N{REPLACEMENT CHARACTER}")
    assert error.text.count("worker 1") == 2


def test_a_run_without_requests_is_an_error() -> None:
    """Nothing is known about the service, and no rule reports it, so the test case of the run does."""
    attributes, found = cases(document([], [], RunRecord("none", 0.0)))
    (error,) = found["the run sent requests and ran to its end"]
    assert (attributes["errors"], error.attrib["type"]) == ("1", "no data")
    assert error.attrib["message"].startswith("the run measured no request")


def test_an_interrupted_run_is_errors_and_no_failure() -> None:
    """No threshold was judged on the requested run: they neither passed nor failed, and the reason is given."""
    record = reports.record(2)
    record.interruption = Interruption("Ctrl-C", 2.5, 2.0, 20.0)
    results = [Result.of(rule, 0.1) for rule in parse("max < 1s, min > 1s", "here")]
    suite, found = cases(document(results, [], record))
    assert (suite["tests"], suite["failures"], suite["errors"]) == ("4", "0", "3")
    assert found["the run sent requests and ran to its end"][0].attrib["message"] == record.interruption.sentence
    assert {case[0].attrib["type"] for case in found.values() if len(case)} == {"interrupted"}


def test_a_run_that_a_threshold_aborted_did_not_run_to_its_end() -> None:
    """The case of the run names it, with the completed part of the plan."""
    record = reports.record(2)
    record.note(2.0, ABORTED, "error_ratio < 1% ended the run after 2 s of 20 s of load")
    results = [Result.of(rule, 0.5) for rule in parse("error_ratio < 1% abort_on_fail", "here")]
    suite, found = cases(document(results, [], record))
    (failure,) = found["the run sent requests and ran to its end"]
    assert (suite["failures"], failure.tag) == ("2", "failure")
    assert failure.attrib["message"] == "error_ratio < 1% ended the run after 2 s of 20 s of load"


def test_why_requests_failed_is_in_the_cases() -> None:
    """A failed threshold has the reasons, with first and last time; the case of the run also has a sample."""
    record = reports.record(10, failing="b")
    results = [Result.of(rule, 0.5) for rule in parse("error_ratio < 1%", "here")]
    _, found = cases(document(results, [], record))
    reason = "40 with status_5xx: 503 from"
    assert found["error_ratio < 1%"][0].text.startswith(reason)
    told = found["the run sent requests and ran to its end"].find("system-out").text
    assert told.startswith(reason)
    assert "22:13:20 to 22:13:29 UTC\n\nA failed request: GET b: status_5xx\nPOST https://a.example/buy\n" in told
    assert "\n→ 503 Service Unavailable\n" in told


def test_iterations_are_a_property() -> None:
    """They are next to the notes, since they are figures, not test cases."""
    (suite,) = ET.fromstring(document([], [], reports.add_iterations(reports.record(2))))  # noqa: S314 - our own
    told = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert told["iterations"] == "400 of documents, 7 dropped; p50 250 ms, p95 250 ms, p99 250 ms"

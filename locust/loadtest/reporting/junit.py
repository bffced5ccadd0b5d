"""JUnit: junit.xml, the verdict as test cases, for tools that show the results of a build.

There is one suite, with a test case for each threshold, one for the trust checks of the generator, and one for the run
itself, with the reasons and examples of failures. A failed threshold is a failure. So is a run that failed for another
reason: every request failed, or the set-up did. A threshold without data, a failed trust check and an interruption are
errors, because they say nothing about the system under test. The iterations, and the notes of the verdict, are
properties of the suite. Jenkins, GitLab and GitHub's actions read this dialect (https://github.com/testmoapp/junitxml).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # written, never read
from typing import TYPE_CHECKING

from loadtest.judging.outcome import Outcome
from loadtest.measuring.record import ABORTED
from loadtest.reporting.document import failure_reasons, failure_samples, iteration_sentences, notes
from loadtest.settings.scenario_files import name_of_scenario

if TYPE_CHECKING:
    from loadtest.reporting.document import Document

_FORBIDDEN = re.compile(
    r"[^\t\n\u0020-\u007e\u00a0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
"""The characters that XML 1.0 forbids (section 2.2), and terminal control characters."""
_TRUST = "the load generator was fit to measure"
_MADE = "the run sent requests and ran to its end"
_NOT_JUDGED = (Outcome.NO_DATA.value, Outcome.INTERRUPTED.value)


def document(run: Document) -> str:
    """Return the XML. The class of the test cases is the scenario."""
    results, findings = run["thresholds"], run["findings"]
    interrupted = run["verdict"]["name"] == Outcome.INTERRUPTED.value
    outcomes = [Outcome.INTERRUPTED.value if interrupted else result["outcome"] for result in results]
    errors = len([outcome for outcome in outcomes if outcome in _NOT_JUDGED])
    suite = ET.Element(
        "testsuite",
        name=_clean(f"loadtest {run['run_id']}"),
        tests=str(len(results) + 2),
        failures=str(outcomes.count(Outcome.FAILED.value) + bool(_failure(run))),
        errors=str(errors + bool(findings) + bool(_missing(run))),
        skipped="0",
        time=f"{run['duration_s']:.3f}",
    )
    said = [("iterations", sentence) for sentence in iteration_sentences(run)] + [("note", note) for note in notes(run)]
    if said:
        properties = ET.SubElement(suite, "properties")
        for name, text in said:
            ET.SubElement(properties, "property", name=name, value=_clean(text))
    reasons = "\n".join(map(_clean, failure_reasons(run)))
    classname = _clean(f"loadtest.{name_of_scenario(run['configuration'].get('scenario', ''))}".rstrip("."))
    for result, outcome in zip(results, outcomes, strict=True):
        case = ET.SubElement(suite, "testcase", name=_clean(result["rule"]), classname=classname, time="0")
        sentence = _clean(result["sentence"])
        if outcome == Outcome.FAILED.value:
            ET.SubElement(case, "failure", message=sentence, type="threshold").text = reasons or None
        elif outcome in _NOT_JUDGED:
            ET.SubElement(case, "error", message=sentence, type=outcome)
        else:
            ET.SubElement(case, "system-out").text = sentence
    trust = ET.SubElement(suite, "testcase", name=_TRUST, classname=classname, time="0")
    if findings:
        error = ET.SubElement(trust, "error", message=_clean(findings[0]["sentence"]), type="not trustworthy")
        error.text = "\n".join(_clean(finding["sentence"]) for finding in findings)
    made = ET.SubElement(suite, "testcase", name=_MADE, classname=classname, time="0")
    if failure := _failure(run):
        ET.SubElement(made, "failure", message=_clean(failure), type="failed")
    elif reason := _missing(run):
        ET.SubElement(made, "error", message=_clean(reason), type=_clean(run["verdict"]["name"]))
    if reasons:
        ET.SubElement(made, "system-out").text = "\n\n".join((reasons, *map(_sample, failure_samples(run))))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _sample(sample: tuple[str, dict[str, str]]) -> str:
    """Return one failed exchange."""
    title, evidence = sample
    text = f"A failed request: {title}\n{evidence['request']}\n\n→ {evidence['answer'] or 'no answer'}"
    return "\n".join(map(_clean, text.split("\n")))


def _failure(run: Document) -> str:
    """Return why the run failed other than by its thresholds and trust checks; empty if it did not."""
    if run["verdict"]["name"] not in (Outcome.FAILED.value, Outcome.NOT_TRUSTWORTHY.value):
        return ""
    reported = {one["sentence"] for one in (*run["thresholds"], *run["findings"])}
    aborted = [event["text"] for event in run["events"] if event["kind"] == ABORTED]
    return "; ".join((*(reason for reason in run["verdict"]["reasons"] if reason not in reported), *aborted))


def _missing(run: Document) -> str:
    """Return why the run says nothing about the system under test; empty if it does."""
    if run["verdict"]["name"] == Outcome.INTERRUPTED.value or not run["total"]["requests"]:
        return next(iter(run["verdict"]["reasons"]), "no request was measured")
    return ""


def _clean(text: str) -> str:
    """Return a text on one line, without characters that XML or a terminal cannot handle."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.splitlines()))

"""JUnit XML: the verdict as test cases, for what shows the results of a build.

One suite for the run: a test case for each threshold, and one that says whether the generator was fit to measure. A
rule that failed is a failure; a rule without data, or an untrustworthy generator, is an error, since nothing was
found out about the system under test. The dialect is the one that Jenkins, GitLab and GitHub's actions read
(https://github.com/testmoapp/junitxml).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # written, never read
from typing import TYPE_CHECKING

from loadtest.judging.verdict import Outcome

if TYPE_CHECKING:
    from loadtest.judging.verdict import Verdict
    from loadtest.measuring.record import RunRecord

_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, section 2.2."""
_TRUST = "the load generator was fit to measure"


def document(record: RunRecord, verdict: Verdict) -> str:
    """Return the XML; the test cases' class is the scenario that the record's configuration names."""
    results, findings = verdict.results, verdict.findings
    suite = ET.Element(
        "testsuite",
        name=_clean(f"loadtest {record.run_id}"),
        tests=str(len(results) + 1),
        failures=str(sum(result.outcome is Outcome.FAILED for result in results)),
        errors=str(sum(result.outcome is Outcome.NO_DATA for result in results) + bool(findings)),
        skipped="0",
        time=f"{record.duration_s:.3f}",
    )
    classname = _clean(f"loadtest.{record.configuration.get('scenario', '')}".rstrip("."))
    for result in results:
        case = ET.SubElement(suite, "testcase", name=_clean(str(result.threshold)), classname=classname, time="0")
        if result.outcome is Outcome.FAILED:
            ET.SubElement(case, "failure", message=_clean(result.sentence), type="threshold")
        elif result.outcome is Outcome.NO_DATA:
            ET.SubElement(case, "error", message=_clean(result.sentence), type="no data")
        else:
            ET.SubElement(case, "system-out").text = _clean(result.sentence)
    trust = ET.SubElement(suite, "testcase", name=_TRUST, classname=classname, time="0")
    if findings:
        error = ET.SubElement(trust, "error", message=_clean(findings[0].sentence), type="not trustworthy")
        error.text = _clean("\n".join(finding.sentence for finding in findings))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)

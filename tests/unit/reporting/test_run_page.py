"""report.html as a file: self-contained, bounded, and safe from what systems under test call things."""

import re
from html.parser import HTMLParser

from loadtest.measuring.record import RunRecord
from loadtest.reporting import chart_data, page, run_page
from tests import reports

LARGEST_BYTES = 1_500_000


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.texts.append(data)


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No element names another address, and the policy would not let it."""
    elements = Elements(run_page.html(reports.run_document())).elements
    addresses = [value for _, attrs in elements for name, value in attrs.items() if name in {"src", "href", "srcset"}]
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    (policy,) = [attrs["content"] for tag, attrs in elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("script-src")[1]


def test_hostile_names_and_messages_stay_text() -> None:
    """A name or a message that would close a script or open an image is shown as it is."""
    text = run_page.html(reports.run_document(reports.record(3, names=(reports.HOSTILE,), failing=reports.HOSTILE)))
    elements = Elements(text)
    assert [tag for tag, attrs in elements.elements if tag == "img" or "onerror" in attrs] == []
    assert text.count("</script>") == 3
    assert any("<img src=x onerror=alert(1)>" in shown for shown in elements.texts)


def test_the_page_has_landmarks_and_headings() -> None:
    """One main, one navigation, one first heading, and every section is named."""
    elements = Elements(run_page.html(reports.run_document(reports.record(failing="a")))).elements
    tags = [tag for tag, _ in elements]
    assert [tags.count(tag) for tag in ("main", "nav", "h1", "header", "footer")] == [1, 1, 1, 1, 1]
    assert all("aria-labelledby" in attrs or "aria-label" in attrs for tag, attrs in elements if tag == "section")
    assert ("html", {"lang": "en"}) in elements
    jumps = {attrs["href"] for tag, attrs in elements if tag == "a"}
    assert jumps <= {f"#{attrs['id']}" for _, attrs in elements if "id" in attrs}


def test_verdict_reasons_errors_and_health_are_shown() -> None:
    """The page says what the document says."""
    shown = " ".join(Elements(run_page.html(reports.run_document(reports.record(failing="a")))).texts)
    assert "Failed: at least one threshold was not met." in shown
    assert "p50(response_time) < 1us: failed" in shown
    assert "status_5xx" in shown
    assert re.search(r"Successes and failures apart.* succeeded\s+320\s.* failed\s+80\s", shown, re.DOTALL)
    assert re.search(r"check\s+limit\s+worker 0\s+cpu\s+90%\s+95%", shown)


def test_the_largest_run_stays_small() -> None:
    """A day of 2,000 names with a thousand distinct errors is under 1.5 MB."""
    document = reports.run_document(reports.record(2, names=tuple(f"room/{n:04}/read" for n in range(2_000)), per_s=1))
    point = document["timeline"][0]
    document["timeline"] = [{**point, "second": second, "p50_s": second / 7} for second in range(7_000)]
    row = {"scenario": "s", "method": "GET", "error_class": "status_5xx", "message": "x" * 300, "occurrences": 3}
    document["errors"] = [{**row, "name": f"room/{number}"} for number in range(1_000)]
    document["total"]["failures"] = 3_000
    assert len(run_page.html(document).encode()) < LARGEST_BYTES


def test_an_empty_run_has_a_page() -> None:
    """Without requests there are no charts, and the verdict says why."""
    shown = " ".join(Elements(run_page.html(reports.run_document(RunRecord("none", 0.0)))).texts)
    assert "No data: there was nothing to judge." in shown
    assert "Nothing was measured." in shown


def test_the_distribution_ends_with_the_requests() -> None:
    """A percentile beyond the number of requests is not drawn; the last one drawn is below the maximum."""
    (everything, one) = chart_data.of(reports.run_document(reports.record(5, names=("a",))))["names"]
    assert len(one["response"]) == 25  # 100 requests: two decades of twelve points, and the first
    assert one["response"] == everything["response"]
    assert one["response"] == sorted(one["response"])


def test_seconds_that_are_not_whole_draw_no_fall() -> None:
    """20 requests in half a second are 40 per second; what a tenth of a second holds is no rate."""
    made = reports.run_document(reports.record(5, names=("a",)))
    made["load_s"] = 4.25  # from 0.25 on: the first second has 0.75 of load, the last 0.5
    assert chart_data.of(made)["throughput"] == [26.67, 20.0, 20.0, 20.0, 40.0]
    made["load_s"] = 3.85
    assert chart_data.of(made)["throughput"][-1] is None


def test_names_are_broken_after_separators_only() -> None:
    """A long name goes on in the next line after a slash, not within a word; what it is called stays the same."""
    shown = page.name("/api/users/{id}/read_all?a=<b>&c=1")
    assert shown == "/<wbr>api/<wbr>users/{id}/<wbr>read_<wbr>all?<wbr>a=&lt;b&gt;&amp;<wbr>c=<wbr>1"
    assert "overflow-wrap: anywhere" not in re.findall(r"\.scroll tbody th \{[^}]*\}", page.asset("report.css"))[0]

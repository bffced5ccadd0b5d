"""report.html as a file: self-contained, bounded, and safe against hostile names from services under test."""

import re
from html.parser import HTMLParser

import pytest

from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.reporting import chart_data, document, page, run_page
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
    """No element has an external address, and the policy would block it."""
    elements = Elements(run_page.html(reports.run_document())).elements
    addresses = [value for _, attrs in elements for name, value in attrs.items() if name in {"src", "href", "srcset"}]
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    (policy,) = [attrs["content"] for tag, attrs in elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("script-src")[1]


def test_hostile_names_and_messages_stay_text() -> None:
    """A name or a message that would close a script or open an image is shown as text."""
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
    """The page has the document's values."""
    shown = " ".join(Elements(run_page.html(reports.run_document(reports.record(failing="a")))).texts)
    assert "Failed: at least one threshold was not met." in shown
    assert "p50(response_time) < 1us: failed" in shown
    assert re.search(r"status_5xx\s+80\s+503 from.*\s22:13:20\s+22:13:39\s", shown, re.DOTALL)
    assert re.search(r"Successes and failures.* succeeded\s+320\s.* failed\s+80\s", shown, re.DOTALL)
    assert re.search(r"check\s+limit\s+highest\s+in\s+cpu\s+90%\s+95%\s+worker 0", shown)


def test_a_failed_request_is_shown_with_its_answer() -> None:
    """It is folded next to its message, as text, whatever the service returned."""
    page = run_page.html(reports.run_document(reports.record(failing="a")))
    shown = " ".join(Elements(page).texts)
    told = r"503 from.*Request and response\s+POST https://a.example/buy.*503 Service Unavailable"
    assert re.search(told, shown, re.DOTALL)
    assert page.count("<pre>") == page.count("<pre class='answer'>") == 1
    assert "<img src=x" not in page


def test_the_largest_run_stays_small() -> None:
    """A day of 2,000 names with a thousand distinct errors takes less than 1.5 MB."""
    document = reports.run_document(reports.record(2, names=tuple(f"room/{n:04}/read" for n in range(2_000)), per_s=1))
    point = document["timeline"][0]
    document["timeline"] = [{**point, "second": second, "p50_s": second / 7} for second in range(7_000)]
    row = {"scenario": "s", "method": "GET", "error_class": "status_5xx", "message": "x" * 300, "occurrences": 3}
    row |= {"first_seen": 1_700_000_000, "last_seen": 1_700_000_009}
    document["errors"] = [{**row, "name": f"room/{number}"} for number in range(1_000)]
    document["total"]["failures"] = 3_000
    assert len(run_page.html(document).encode()) < LARGEST_BYTES


def test_an_empty_run_has_a_page() -> None:
    """Without requests there are no charts, and the verdict says why."""
    shown = " ".join(Elements(run_page.html(reports.run_document(RunRecord("none", 0.0)))).texts)
    assert "No data: there was nothing to judge." in shown
    assert "Nothing was measured." in shown


def test_the_distribution_ends_with_the_requests() -> None:
    """A percentile beyond the number of requests is not drawn; the last one is below the maximum."""
    (everything, one) = chart_data.of(reports.run_document(reports.record(5, names=("a",))))["names"]
    assert len(one["response"]) == 25  # 100 requests: two decades of twelve points, and the first
    assert one["response"] == everything["response"]
    assert one["response"] == sorted(one["response"])


def test_seconds_that_are_not_whole_draw_no_fall() -> None:
    """20 requests in half a second are 40 per second; a tenth of a second gives no rate."""
    made = reports.run_document(reports.record(5, names=("a",)))
    made["load_s"] = 4.25  # from 0.25 on: the first second has 0.75 of load, the last 0.5
    assert chart_data.of(made)["throughput"] == [26.67, 20.0, 20.0, 20.0, 40.0]
    made["load_s"] = 3.85
    data = chart_data.of(made)
    drawn = [data["throughput"], data["p50"], data["names"][1]["over_time"]["p50"]]
    assert [[value is None for value in curve] for curve in drawn] == [[False, False, False, False, True]] * 3


def test_names_are_broken_after_separators_only() -> None:
    """A long name wraps after a slash, not within a word; the name itself is unchanged."""
    shown = page.name("/api/users/{id}/read_all?a=<b>&c=1")
    assert shown == "/<wbr>api/<wbr>users/{id}/<wbr>read_<wbr>all?<wbr>a=&lt;b&gt;&amp;<wbr>c=<wbr>1"
    assert "overflow-wrap: anywhere" not in re.findall(r"\.scroll tbody th \{[^}]*\}", page.asset("report.css"))[0]


def test_errors_over_time_are_drawn_by_class() -> None:
    """Each class has its own curve, the most frequent first; without an error there is one, at 0."""
    made = reports.run_document(reports.record(3, names=("a",), failing="a"))
    assert chart_data.of(made)["errors"] == [{"name": "status_5xx", "values": [5.333, 4.0, 4.0]}]
    made = reports.run_document(reports.record(3, names=("a",)))
    assert chart_data.of(made)["errors"] == [{"name": "failed", "values": [0.0, 0.0, 0.0]}]


def test_a_name_has_curves_whose_percentiles_have_enough_requests() -> None:
    """20 requests a second give a p95 every 3 s, a p99 every 15 s, and a rate each second; 5 have a p50 only."""
    made = reports.run_document(reports.record(60, names=("a", "b"), failing="b"))
    data = chart_data.of(made)
    names = {one["name"]: one["over_time"] for one in data["names"]}
    b = names["GET b"]
    assert b["time"] == list(range(60))
    assert (b["requests"][1], b["failures"][1], names["all requests"]["requests"][1]) == (20.0, 4.0, 40.0)
    assert [len(set(b["p95"][at : at + 3])) for at in range(0, 60, 3)] == [1] * 20
    assert len(set(b["p95"])) > 5
    assert all(
        20 < p50 < p95 < 41 and 38 < p99 < 41 for p50, p95, p99 in zip(b["p50"], b["p95"], b["p99"], strict=True)
    )
    assert data["p95"] == names["all requests"]["p95"]
    few = chart_data.of(reports.run_document(reports.record(3, names=("a",), per_s=5)))
    assert (len(set(few["p50"])), few["p95"], few["p99"]) == (3, [None] * 3, [None] * 3)


def test_a_percentile_of_too_few_requests_says_how_many_it_needs() -> None:
    """Next to the verdict is a value, or the number of requests that it needs."""
    written = run_page.html(reports.run_document(reports.record(3, names=("a",), per_s=30)))
    assert "<dt>p99</dt><dd><small>needs 299, has 90</small></dd>" in written
    assert re.search(r"<dt>p95</dt><dd>[\d.]+ <small>ms</small></dd>", written)


def test_percentiles_of_an_interval_are_those_of_its_requests() -> None:
    """They are those of its histogram, whatever else is in the blocks."""
    run = reports.record(10, names=("a",), per_s=400)
    (_, one) = chart_data.of(reports.run_document(run))["names"]
    expected = [point.response_time.total().quantiles((0.5, 0.95, 0.99)) for point in run.timeline]
    drawn = list(zip(one["over_time"]["p50"], one["over_time"]["p95"], one["over_time"]["p99"], strict=True))
    assert len(drawn) == 10
    for shown, true in zip(drawn, expected, strict=True):
        assert shown == pytest.approx([value * 1e3 for value in true], rel=1e-3)


def test_the_bars_hold_every_request() -> None:
    """The histogram's bars have ascending edges and add up to the number of requests."""
    (everything, *_) = chart_data.of(reports.run_document(reports.record(5)))["names"]
    bars = everything["bars"]
    assert sum(bars["counts"]) == 200
    assert len(bars["edges"]) == len(bars["counts"]) + 1
    assert bars["edges"] == sorted(bars["edges"])
    assert (bars["edges"][0] <= 10, bars["edges"][-1] >= 39) == (True, True)


def test_limits_are_drawn_in_the_unit_of_their_chart() -> None:
    """Limits on times are in milliseconds, others as they are; each says to which requests it applies."""
    limits = chart_data.of(reports.run_document(rules='p99 < 1s, p50{name="a"} < 1us, error_ratio < 1%'))["limits"]
    assert [(one["metric"], one["text"], one["value"], one["selector"]) for one in limits] == [
        ("response_time", "p99(response_time) < 1s", 1000.0, {}),
        ("response_time", 'p50(response_time){name="a"} < 1us', pytest.approx(0.001), {"name": "a"}),
        ("error_ratio", "error_ratio < 1%", pytest.approx(0.01), {}),
    ]


def test_what_no_threshold_counts_is_marked() -> None:
    """The time before the load, and the warm-up, are shaded."""
    run = reports.record()
    run.warm_up_s = 5.0
    assert chart_data.of(reports.run_document(run))["unjudged"] == [
        {"from": 0.0, "to": 0.25, "text": "set-up"},
        {"from": 0.25, "to": 5.25, "text": "warm-up"},
    ]


def test_earlier_runs_make_a_trend() -> None:
    """Runs of the same scenario and profile precede this one; without any the section is left out."""
    made = reports.run_document()
    assert "id='trend'" not in run_page.html(made)
    made["earlier"] = [{**document.figures(made), "run_id": "run-0", "verdict": "passed"}]
    shown = " ".join(" ".join(Elements(run_page.html(made)).texts).split())
    assert re.search(r"1 run- 0 passed 40\.0 .* 2 run- 1 failed 40\.0 ", shown)
    assert [one["run"] for one in chart_data.of(made)["trend"]] == ["run-0", "run-1"]


def test_each_name_shows_its_share_mean_and_bytes() -> None:
    """A bar shows the requests relative to the most frequent name; mean and bytes are next to the percentiles."""
    html = run_page.html(reports.run_document(reports.record(names=("a", "b"))))
    assert html.count("style='--share:100.0%'") == 2
    assert "Mean" in html
    assert re.findall(r"<button type='button'>(mean ms|received|sent)</button>", html) == [
        "mean ms",
        "received",
        "sent",
    ]
    assert re.search(r"data-v='40000'>40 kB</td><td class='n' data-v='\d+'>[^<]+</td></tr>", html)


NAMES = tuple(f"shop/{room}{number}" for room in ("", "basket/") for number in range(5))


def test_many_names_are_grouped_by_how_they_begin() -> None:
    """A group's totals are above its names; few names, or groups of one name each, are not grouped."""
    html = run_page.html(reports.run_document(reports.record(20, names=NAMES, failing="shop/basket/0")))
    sums = re.findall(r"<tr class='group' data-name=' (.*?)'.*?</tr>", html)
    assert sums == ["shop, 5 names", "shop/basket, 5 names"]
    of_basket = re.search(r"<tr class='group' data-name=' shop/basket,.*?</tr>", html, re.DOTALL)[0]
    assert re.findall(r"data-v='([\d.]+)'", of_basket)[:3] == ["2000", "80", "100.0"]
    mean_ms = sum(0.015 * (1 + number) for number in range(5, 10)) / 5 * 1e3
    assert float(re.findall(r"<td class='n'[^>]*>([\d.]+)<", of_basket)[2]) == pytest.approx(mean_ms, rel=0.05)
    assert html.count("data-group='shop/basket'") == 6
    for names in (NAMES[:9], tuple(f"{number}/a" for number in range(12))):
        assert "class='group'" not in run_page.html(reports.run_document(reports.record(5, names=names)))


def test_errors_stand_directly_under_the_verdict() -> None:
    """They precede thresholds and charts."""
    html = run_page.html(reports.run_document(reports.record(failing="a")))
    assert re.findall(r"<section (?:id='([\w-]+)'|class=\"verdict)", html)[:3] == ["", "errors", "thresholds"]


def test_transactions_and_checks_have_tables() -> None:
    """One failed check of 400 is not 100 %; without any the section is left out."""
    assert "id='steps'" not in run_page.html(reports.run_document())
    elements = Elements(run_page.html(reports.run_document(reports.add_steps(reports.record()))))
    shown = " ".join(" ".join(elements.texts).split())
    assert re.search(r"check out 100 20 500 500 needs 299, has 100 500 ", shown)
    assert " 400 1 99.75% " in shown
    assert [tag for tag, _ in elements.elements if tag == "img"] == []


def test_transactions_are_drawn_over_time() -> None:
    """Rate, failures, times and histogram are those of transactions only; an older record has no curves."""
    made = reports.run_document(reports.add_steps(reports.record(5)), rules="p50(transaction_time) < 2s")
    data = chart_data.of(made)
    (one,) = data["transactions"]
    assert (one["name"], one["labels"], sum(one["bars"]["counts"])) == (
        "transaction check out",
        {"name": "check out"},
        100,
    )
    assert [one["over_time"][key] for key in ("requests", "failures")] == [[0.0, 100.0], [0.0, 20.0]]
    assert one["over_time"]["p50"] == [None, pytest.approx(500, rel=0.01)]
    assert data["limits"][0]["value"] == 2000.0
    del made["transaction_blocks"]
    assert chart_data.of(made)["transactions"] == []
    assert "transaction_blocks" not in reports.run_document()


def test_thresholds_are_shown_next_to_what_they_judge() -> None:
    """A name, a transaction and a check have the outcome of the rules about just them."""
    rules = 'p50{name="a"} < 1us, p95(transaction_time) < 100ms, check_ratio > 99.9%, p99 < 1s'
    html = run_page.html(reports.run_document(reports.add_steps(reports.record()), rules=rules))
    of_name, of_other = (
        re.search(rf"<tr class='' data-name='GET {name}'>(.*?)</th>", html, re.DOTALL)[1] for name in "ab"
    )
    assert re.findall(r"class='tag (\w+)' title='([^']*)'>(\w+)<", of_name) == [
        ("bad", f"p50(response_time){{name=&quot;a&quot;}} &lt; 1us: {_worded(html, 'p50')}", "failed")
    ]
    assert "tag" not in of_other
    cells = re.findall(r"<td class='thresholds'>(.*?)</td>", html)
    assert [re.findall(r"<code>(.*?)</code>", cell) for cell in cells] == [
        ["p95(transaction_time) &lt; 100ms"],
        ["check_ratio &gt; 99.9%"],
    ]
    assert all(">failed<" in cell for cell in cells)


def _worded(html: str, rule: str) -> str:
    """The value of a threshold as the table of thresholds shows it."""
    return re.search(rf"<code>{rule}.*?</code></th><td>.*?</td><td>(.*?)</td>", html)[1]


def test_iterations_are_shown_with_what_was_dropped_and_the_thresholds_on_them() -> None:
    """The table has number, duration and lag by scenario; an older record has none."""
    run = reports.add_iterations(reports.record())
    made = reports.run_document(run, rules="p95(iteration_time) < 100ms, p99 < 1s")
    shown = " ".join(" ".join(Elements(run_page.html(made)).texts).split())
    assert re.search(
        r"documents 400 7 250 250 250 250 [\d.]+ ([\d.]+ to [\d.]+ )?failed p95\(iteration_time\) < 100ms 250ms", shown
    )
    for scenario in made["scenarios"]:
        del scenario["iteration_time"]
    assert "id='steps'" not in run_page.html(made)


def test_traces_are_listed_failures_first() -> None:
    """Each has its name, outcome, time and id; a run without any has no such table."""
    record = reports.record()
    assert "id='traces'" not in run_page.html(reports.run_document(record))
    recorder = Recorder()
    series = recorder.series("documents", "GET", "a")
    series.success(0.0, 0.0, 0.5, 1)
    series.trace("ab" * 16, 0.0, 0.0, 0.5)
    series.failure(0.0, 0.0, 0.25, 1, "reset", "no")
    series.trace("cd" * 16, 0.0, 0.0, 0.25, "reset")
    record.add(recorder.take(), 1)
    shown = " ".join(" ".join(Elements(run_page.html(reports.run_document(record))).texts).split())
    assert re.search(rf"GET a reset 250 [\d:]+ {'cd' * 16} GET a success 500 [\d:]+ {'ab' * 16}", shown)


def test_connections_have_a_table_by_host() -> None:
    """It has a row per phase with its duration; a phase that did not occur has none."""
    record = reports.record()
    assert "id='connections'" not in run_page.html(reports.run_document(record))
    recorder = Recorder()
    for _ in range(100):
        recorder.series("documents", "GET", "a").tally("dns", "shop.example:80", 0.002)
        recorder.series("documents", "GET", "a").tally("connect", "shop.example:80", 0.004)
    record.add(recorder.take(), 1)
    shown = " ".join(" ".join(Elements(run_page.html(reports.run_document(record))).texts).split())
    host = r"shop\.?\s?example:\s?80"
    assert re.search(rf"{host} name lookup 100 2\.0\d 2\.0\d 2\.00 {host} TCP 100 4\.0\d 4\.0\d 4\.00", shown)
    assert "receiving the rest" not in shown
    assert "open at a time" not in shown
    record.note_connections(1, 48)
    assert "At most 48 connections of all users were open at a time." in run_page.html(reports.run_document(record))

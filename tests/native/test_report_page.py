"""report.html in a real browser: every chart drawn, no errors, readable on a phone and without a mouse."""

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from loadtest.capacity.chart import html_page
from loadtest.capacity.search import Capacity, End, StepResult
from loadtest.comparing import changes, history_page
from loadtest.comparing import page as comparing_page
from loadtest.comparing.comparison import compare
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.judging.outcome import Outcome
from loadtest.measuring.recorder import Recorder
from loadtest.reporting import document, run_page
from tests import histories, reports

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHARTS = [
    *("chart-throughput", "chart-load", "chart-errors", "chart-times", "chart-capacity", "chart-latency"),
    *("chart-name-rate", "chart-name-times", "chart-name-bars", "chart-trend-times", "chart-trend-throughput"),
    *("chart-response", "chart-service"),
]
NON_BLANK = """id => {
  const canvas = document.querySelector(`#${id} canvas`);
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3] > 200) seen.add(pixels.slice(at, at + 3).join());
  return seen.size;
}"""
CONTRAST = """() => {
  const channel = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (a) return [r, g, b];
    }
  };
  const poor = [];
  const texts = 'h1,h2,h2 small,p,li,dt,dd,dd small,th,td,button,a:not(.skip),span.tag';
  for (const node of document.querySelectorAll(texts)) {
    if (!node.textContent.trim()) continue;
    const [one, two] = [light(numbers(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
ARTEFACTS = Path(os.environ.get("LOADTEST_TEST_ARTEFACTS", Path(tempfile.gettempdir()) / "loadtest-artefacts"))


A4_PX = 794
"""The width of a page of paper, at 96 dots an inch."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium installed on this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with hostile names, errors and events."""
    run = reports.add_steps(
        reports.record(60, names=("shop/read", "shop/write", reports.HOSTILE), failing=reports.HOSTILE)
    )
    run.note(20.5, "worker", "worker 1 lost")
    run.note(40.0, "redis", "Redis was restarted")
    path = tmp_path_factory.mktemp("report") / "report.html"
    of_transactions = 'p95(transaction_time){name="check out"} < 600ms'
    rules = f'p99 < 1s, p50 < 1us, p95{{name="shop/read"}} < 30ms, error_ratio < 1%, {of_transactions}'
    made = reports.run_document(run, rules=rules)
    made["earlier"] = [{**document.figures(made), "run_id": f"run-{number}"} for number in range(3)]
    path.write_text(run_page.html(made))
    return path


def opened(browser: Browser, file: Path, scheme: str, width: int) -> tuple[Page, list[str]]:
    """Open the report offline; return its page, and the browser's complaints."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != file.as_uri() else None)
    page.context.set_offline(True)
    page.goto(file.as_uri())
    return page, [one for one in complaints if not one.startswith("data:")]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_every_chart_is_drawn(browser: Browser, file: Path, scheme: str, width: int) -> None:
    """Light, dark and on a phone: every chart has lines; no complaints, no sideways scrolling, enough contrast."""
    page, complaints = opened(browser, file, scheme, width)
    colours = {chart: page.evaluate(NON_BLANK, chart) for chart in CHARTS}
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"report-{scheme}-{width}.png", full_page=True)
    assert complaints == []
    assert [chart for chart, seen in colours.items() if seen < 3] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CONTRAST) == []
    assert width == 390 or page.evaluate(CUT_OFF) == []
    rows = page.evaluate(TILES)
    assert width == 390 or min(rows.values()) > 1, "a tile stands alone"
    page.close()


TILES = """[...document.querySelectorAll('.tiles > div')].map(one => one.offsetTop)
    .reduce((rows, top) => ({...rows, [top]: (rows[top] ?? 0) + 1}), {})"""
"""How many tiles there are in each of their rows."""

CUT_OFF = """[...document.querySelectorAll('.scroll')]
    .filter(one => one.checkVisibility()).filter(one => one.scrollWidth > one.clientWidth + 1)
    .map(one => one.getAttribute('aria-label'))"""
"""The tables that have to be scrolled sideways."""


ALIGNED = """Object.fromEntries([...document.querySelectorAll('table:first-of-type thead th')]
    .filter(one => one.closest('.scroll').getAttribute('aria-label') === 'Differences')
    .map(one => [one.textContent, getComputedStyle(one).textAlign]).filter(([, side]) => side === 'right'))"""
"""The headings that are above numbers."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_reads_well(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """The comparison's page: no complaint, no sideways scrolling on a phone, enough contrast, every interval drawn.

    Each request, and the verdict, change and interval of each figure, are seen without scrolling the table sideways.
    """
    page, complaints = opened(browser, comparison_page(tmp_path), scheme, 390)
    page.screenshot(path=ARTEFACTS / f"comparison-{scheme}.png", full_page=True)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(CONTRAST) == []
    assert page.locator("svg").count() == 15
    told = "[aria-label=Differences] :is(tr.of span, td:nth-child(-n + 3), td:nth-child(3) small)"
    rights = page.evaluate(f"[...document.querySelectorAll('{told}')].map(one => one.getBoundingClientRect().right)")
    assert len(rights) > 30
    assert 0 < max(rights) <= 390
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_capacity_is_read_on_a_phone(browser: Browser, tmp_path: Path, width: int) -> None:
    """The page does not scroll sideways, and the labels of its chart are at least 10 px."""
    steps = [
        StepResult(rate, Outcome.PASSED, ("p99 < 100ms: passed",), rate, 0.01, 0.05, 0.01, 1.0) for rate in (9, 90)
    ]
    found = Capacity(End.STEPS, tuple(steps), 80.0, 70.0, 100.0)
    (tmp_path / "capacity.html").write_text(html_page(found, "Capacity for p99(response_time)", "80 arrivals/s", None))
    page, complaints = opened(browser, tmp_path / "capacity.html", "light", width)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.querySelector('svg text').getBoundingClientRect().height") > 10
    page.close()


def test_an_interval_beyond_its_drawing_is_an_arrow(browser: Browser, tmp_path: Path) -> None:
    """30 % slower, with a margin of 5 %: the dot would be outside, so an arrow is drawn inside."""
    page, _ = opened(browser, comparison_page(tmp_path), "light", 1280)
    drawn = page.locator("[aria-label=Differences] tbody tr", has_text="worse").filter(has_text="p50").first
    assert (drawn.locator("polygon").count(), drawn.locator("circle").count()) == (1, 0)
    page.close()


def test_a_comparison_is_whole_on_a_screen(browser: Browser, tmp_path: Path) -> None:
    """At 1280 px no table scrolls sideways, and forty inconclusive requests are one line until it is opened."""
    page, _ = opened(browser, comparison_page(tmp_path), "light", 1280)
    page.screenshot(path=ARTEFACTS / "comparison-1280.png", full_page=True)
    assert page.evaluate(CUT_OFF) == []
    numbers = ("base", "new", "change", "min. detectable")
    assert page.evaluate(ALIGNED) == dict.fromkeys(numbers, "right")
    assert re.search(r"changes of [\d.]+% \(throughput\)", page.inner_text("#main"))
    assert page.evaluate("document.documentElement.scrollHeight") < 2_500
    assert page.inner_text("summary").startswith(
        "Inconclusive: 40 of 42 requests: too few requests (40); runs of about"
    )
    page.click("summary")
    assert page.evaluate(CUT_OFF) == []
    assert page.locator("details tbody tr").count() == 40
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_history_reads_well(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """The history's page: no complaint, no sideways scrolling on a phone, enough contrast, every strip drawn."""
    runs = [
        replace(run, run_id=f"{run.run_id}-documents-of-customers-ramping-arrival-rate") for run in histories.runs()
    ]
    file = tmp_path / "history.html"
    file.write_text(history_page.html(changes.histories(runs)))
    page, complaints = opened(browser, file, scheme, 390)
    page.screenshot(path=ARTEFACTS / f"history-{scheme}.png", full_page=True)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(CONTRAST) == []
    assert page.locator("svg").count() == 1
    page.close()


def comparison_page(folder: Path) -> Path:
    """Write the comparison of two runs with two requests that got slower and forty that were rare."""
    documents = []
    for factor in (1.0, 1.3):
        record = reports.record(40, ("shop/basket/checkout/payment-methods/of-a-customer", "b"), 60, slower=factor)
        recorder = Recorder()
        for number in range(40):
            for request in range(15):
                series = recorder.series("documents", "GET", f"rare/and/long/name-of-a-request/number-{number}")
                series.success(0.0, 0.001, 0.01 + request / 1e4, 100)
        record.add(recorder.take(), 20)
        documents.append(reports.run_document(record))
    comparison = compare(*map(BlockedRun.of, documents), notes=(f"a note about {reports.HOSTILE}",))
    path = folder / "comparison.html"
    path.write_text(comparing_page.html(comparison, *documents))
    return path


def test_the_keyboard_reaches_everything(browser: Browser, file: Path) -> None:
    """The keyboard moves along a chart, toggles a name, sorts a table, and changes the theme."""
    page, complaints = opened(browser, file, "light", 1280)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.focus("#chart-times")
    page.keyboard.press("ArrowRight")
    assert "0:00" in page.inner_text("#chart-times .u-legend")
    page.focus("#chart-response")
    page.keyboard.press("End")
    assert "99." in page.inner_text("#chart-response-readout")
    page.focus("#names-shown button:first-child")
    page.keyboard.press("Enter")
    assert page.get_attribute("#names-shown button:first-child", "aria-pressed") == "false"
    page.focus("table.sortable th:nth-child(2) button")
    page.keyboard.press("Enter")
    assert page.get_attribute("table.sortable th:nth-child(2)", "aria-sort") == "descending"
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert complaints == []
    page.close()


def test_a_name_is_drawn_when_it_is_chosen(browser: Browser, file: Path) -> None:
    """It is chosen in the table or from the list: its curves replace those of all requests, with its own limit."""
    page, complaints = opened(browser, file, "light", 1280)
    picture = "document.querySelector('#chart-name-bars canvas').toDataURL()"
    of_all = page.evaluate(picture)
    assert "p95(response_time)" not in page.inner_text("#chart-name-times .u-legend")
    page.click("tr[data-name='GET shop/read'] button.pick")
    assert page.evaluate("document.getElementById('name-chosen').selectedOptions[0].text") == "GET shop/read"
    assert page.evaluate(picture) != of_all
    assert "p95(response_time)" in page.inner_text("#chart-name-times .u-legend")
    page.click("tr[data-name='transaction check out'] button.pick")
    assert "transactions/s" in page.inner_text("#chart-name-rate .u-legend")
    assert "p95(transaction_time)" in page.inner_text("#chart-name-times .u-legend")
    page.select_option("#name-chosen", "0")
    assert page.evaluate(picture) == of_all
    assert complaints == []
    page.close()


def test_a_search_leaves_the_names_that_match(browser: Browser, file: Path) -> None:
    """A name must contain each typed word; the total stays."""
    page, complaints = opened(browser, file, "light", 1280)
    page.fill("input[data-for=by-name]", "GET read")
    shown = "[...document.querySelectorAll('#by-name :is(tbody, tfoot) tr')].filter(row => row.offsetParent)"
    assert page.evaluate(f"{shown}.map(row => row.dataset.name.trim())") == ["GET shop/read", "all"]
    assert complaints == []
    page.close()


def test_groups_of_names_are_sorted_folded_and_searched(browser: Browser, tmp_path: Path) -> None:
    """Groups are sorted by total, names within them; folding hides names; a group without a match is hidden."""
    names = tuple(f"shop/{room}{number}" for room in ("", "basket/") for number in range(6))
    file = tmp_path / "report.html"
    file.write_text(run_page.html(reports.run_document(reports.record(20, names=names))))
    page, complaints = opened(browser, file, "light", 1280)
    shown = "[...document.querySelectorAll('#by-name tbody tr')].filter(row => row.offsetParent)"
    names_shown = f"{shown}.map(row => row.dataset.name.trim())"
    basket, shop = ([f"GET shop/{room}{number}" for number in reversed(range(6))] for room in ("basket/", ""))
    page.click("#by-name thead th:nth-child(5) button")
    assert page.evaluate(names_shown) == ["shop/basket, 6 names", *basket, "shop, 6 names", *shop]
    page.click("#by-name tr.group button.fold")
    assert page.evaluate(names_shown) == ["shop/basket, 6 names", "shop, 6 names", *shop]
    page.click("#by-name tr.group button.fold")
    page.fill("input[data-for=by-name]", "basket 3")
    assert page.evaluate(names_shown) == ["shop/basket, 6 names", "GET shop/basket/3"]
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(CONTRAST) == []
    assert complaints == []
    page.close()


def test_the_time_charts_share_their_axis(browser: Browser, file: Path) -> None:
    """Pointing at one shows the same moment in all; zooming one zooms all."""
    page, _ = opened(browser, file, "light", 1280)
    times = (
        "[...document.querySelectorAll('[data-kind=time] .u-legend tr:first-child .u-value')].map(n => n.textContent)"
    )
    page.hover("#chart-errors .u-over", position={"x": 500, "y": 50})
    page.wait_for_timeout(100)
    shown = page.evaluate(times)
    assert (len(shown), len(set(shown))) == (4, 1)
    before = page.evaluate("document.querySelector('#chart-times canvas').toDataURL()")
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.locator("#chart-throughput").scroll_into_view_if_needed()
    box = page.locator("#chart-throughput .u-over").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 50)
    page.mouse.up()
    page.wait_for_function("before => document.querySelector('#chart-times canvas').toDataURL() !== before", arg=before)
    page.close()


def test_the_page_prints_in_light_colours(browser: Browser, file: Path) -> None:
    """A dark page is printed on white, and no chart or table is wider than the paper."""
    page, complaints = opened(browser, file, "dark", 1280)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_PX, "height": 1000})
    as_drawn_for_a_window = (
        "for (const one of document.querySelectorAll('.u-wrap, .u-wrap canvas')) one.style.width = '1250px'"
    )
    width = f"(() => {{ {as_drawn_for_a_window}; return document.documentElement.scrollWidth }})()"
    assert page.evaluate(width) <= A4_PX
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")
    assert complaints == []
    page.close()

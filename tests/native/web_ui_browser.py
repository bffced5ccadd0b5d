"""A user's view in a browser: logs in to a web UI, gets a start refused, opens the report. Prints JSON.

Run as `python web_ui_browser.py visit URL PASSWORD`, as `... start_after_a_test URL PROFILE THRESHOLDS`, as
`... look_at_result URL` or as `... change_load URL LEVEL`. A separate program, because gevent replaces the sockets of
the tests' process.
"""

import contextlib
import json
import sys

from playwright.sync_api import Error, Route, sync_playwright

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def visit(url: str, password: str) -> dict[str, object]:
    """Return the messages shown, and the browser's complaints."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = browser.new_context()
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        asked_at = page.url
        page.get_by_label("Password").fill("wrong, for sure")
        page.get_by_role("button", name="Log in").click()
        wrong = page.get_by_role("alert").inner_text()
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.get_by_label("Number of users").fill("5000000")
        context.new_page().goto(f"{url}/#loadtest=another")  # as any other page could open it
        page.get_by_role("button", name="Start").click()
        refused = page.get_by_role("alert").inner_text()
        page.goto(f"{url}/stats/report")
        page.get_by_text("Locust Test Report").wait_for()
        report = page.locator("body").inner_text()
        page.goto(f"{url}/logs")
        page.get_by_text("refused").wait_for()
        tags = page.locator("#injected").count()
        page.goto(url)
        page.get_by_role("button", name="Log out").wait_for()
        with page.expect_download() as download, contextlib.suppress(Error):
            page.goto(f"{url}/stats/requests/csv")
        table = download.value.path().read_text()
        page.get_by_role("button", name="Log out").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Password").wait_for()
        page.goto(url)
        logged_out_at = page.url
        browser.close()
    seen = {"asked_at": asked_at, "wrong": wrong, "refused": refused, "report": report, "table": table, "tags": tags}
    return {**seen, "logged_out_at": logged_out_at, "complaints": complaints}


def look_at_result(url: str) -> dict[str, object]:
    """Return the text of the result in the corner of the page, and the contents of its downloads."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(url)
        corner = page.locator("#loadtest-result")
        corner.locator("summary").click()
        saved = {}
        for name in ("report.html", "record.json"):
            with page.expect_download() as download:
                corner.get_by_role("button", name=name).click()
            saved[download.value.suggested_filename] = download.value.path().read_text()[:15]
        text = corner.inner_text()

        def as_of_a_longer_run(route: Route) -> None:
            result = route.fetch().json()
            sample = {"title": "GET a: status_5xx", "request": "GET /<b>a", "answer": ""}
            more = {"times": [[10, 2.0, 1.0], [20, 4.0, 1.0]], "samples": [sample], "notes": ["a note"]}
            more["reasons"] = ["a reason"]
            route.fulfill(json={**result, **more})

        page.route("**/loadtest-result", as_of_a_longer_run)
        corner.locator("polyline").first.wait_for()
        drawn = [line.get_attribute("points") for line in corner.locator("polyline").all()]
        corner.get_by_text("A failed request: GET a: status_5xx").click()
        sample = corner.locator("pre").inner_text()
        note = corner.get_by_text("note: a note").inner_text()
        lines = corner.locator("li").all_inner_texts()
        thresholds_above_reasons = "a reason" in lines[1:] and ": " in lines[0]
        page.set_viewport_size({"width": 390, "height": 844})
        legend_px = corner.get_by_text("p95 response time").evaluate("one => one.getBoundingClientRect().height")
        browser.close()
    seen = {"text": text, "saved": saved, "drawn": drawn, "sample": sample, "note": note, "legend_px": legend_px}
    return {**seen, "thresholds_above_reasons": thresholds_above_reasons, "complaints": complaints}


def change_load(url: str, level: str) -> dict[str, object]:
    """Change the load of the running test, and return the page's message; the field keeps its value."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(url)
        corner = page.locator("#loadtest-result")
        corner.locator("summary").click()
        field = corner.get_by_label("Go on with")
        field.fill(level)
        first = corner.inner_text()
        page.wait_for_function("before => document.querySelector('#loadtest-result').innerText !== before", arg=first)
        assert field.input_value() == level
        corner.get_by_role("button", name="Change").click()
        said = corner.locator("output")
        said.get_by_text("from now on").wait_for()
        text = said.inner_text()
        browser.close()
    return {"said": text, "complaints": complaints}


def start_after_a_test(url: str, profile: str, thresholds: str) -> dict[str, object]:
    """Start a profile after a test, and return what the form offered, and what the page showed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.set_default_timeout(100_000)  # the machine may be busy
        page.goto(url)
        page.get_by_role("button", name="New").click()
        for part in ("Advanced options", "Custom parameters"):
            page.get_by_role("button", name=part).click()
        page.wait_for_function("document.querySelector('[name=runTime]').dataset.profile")
        run_times = [page.locator("[name=runTime]").input_value()]
        page.locator("[name=loadProfile]").select_option(profile)
        run_times.append(page.locator("[name=runTime]").input_value())
        labels = [one.inner_text() for one in page.locator("label:visible").all()]
        links = page.locator("a:visible").all_inner_texts()
        page.locator("[name=arrivalRate]").fill("")
        page.locator("[name=thresholds]").fill(thresholds)
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("button", name="Stop").wait_for()
        page.get_by_role("button", name="New").wait_for()
        end = page.get_by_role("banner").inner_text().split()
        page.get_by_role("button", name="New").click()
        can_start = page.get_by_role("button", name="Start", exact=True).is_enabled()
        browser.close()
    return {"run_times": run_times, "labels": labels, "links": links, "end": end, "can_start": can_start}


if __name__ == "__main__":
    seen = {one.__name__: one for one in (visit, start_after_a_test, look_at_result, change_load)}
    sys.stdout.write(json.dumps(seen[sys.argv[1]](*sys.argv[2:])))

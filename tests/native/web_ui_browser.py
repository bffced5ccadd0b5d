"""What a person sees in a browser: logs in to a web UI, is refused a start, opens the report. Prints JSON.

Run as `python web_ui_browser.py URL PASSWORD`; without a password it looks at the result of the last run. A program
of its own, because the tests' process has its sockets replaced by gevent's.
"""

import contextlib
import json
import sys

from playwright.sync_api import Error, sync_playwright

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def visit(url: str, password: str) -> dict[str, object]:
    """Return the sentences that were shown, and what the browser complained of."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
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
    """Return what the result in the corner of the page says, and what its downloads hold."""
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
        browser.close()
    return {"text": text, "saved": saved, "complaints": complaints}


if __name__ == "__main__":
    sys.stdout.write(json.dumps((visit if len(sys.argv) > 2 else look_at_result)(*sys.argv[1:])))

"""Draw the preview in headless Chromium, and take a picture of each dashboard: `python -m preview.pictures FOLDER`.

It ends with 1, and says why, when Chromium complained or a panel stayed empty.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from preview import page, png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1280, 900


@contextmanager
def drawn() -> Iterator[tuple[Page, list[str]]]:
    """Yield the preview as Chromium draws it, and what it complained about."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preview.html"
        file.write_text(page.page(), encoding="utf-8")
        with opened(file) as (view, complaints):
            yield view, complaints


@contextmanager
def opened(file: Path) -> Iterator[tuple[Page, list[str]]]:
    """Yield a page as Chromium shows it, and what it complained about."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC")
            view.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            view.on("pageerror", lambda error: complaints.append(str(error)))
            view.goto(file.as_uri(), wait_until="load")
            yield view, complaints
        finally:
            browser.close()


def main() -> int:
    """Write a picture of each dashboard into the folder that is given."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with drawn() as (view, complaints):
        for section in view.locator("section").all():
            picture = png.small(view, section.screenshot())
            (folder / f"preview_{section.get_attribute('id')}.png").write_bytes(picture)
        panels = view.locator(".panel").all()
        empty = [panel.locator("h2").inner_text() for panel in panels if panel.get_attribute("data-state") != "drawn"]
        if view.locator("body[data-done]").count() == 0:
            complaints.append("the page was not drawn to its end")
        complaints += [f"the panel {title!r} is empty" for title in empty]
    sys.stdout.write(f"{len(panels)} panels, {len(panels) - len(empty)} drawn\n")
    sys.stderr.write("".join(f"{complaint}\n" for complaint in complaints))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())

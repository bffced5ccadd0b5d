"""The preview of the dashboards: a real Chromium draws every panel from the recorded responses, without an error."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.reporting import run_page
from tests import reports

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
PNG = b"\x89PNG\r\n"


def preview(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the preview in a separate process, since this one's sockets are gevent's."""
    command = [sys.executable, "-m", f"preview.{module}", *words]
    return subprocess.run(command, cwd=GRAFANA, capture_output=True, text=True, timeout=120, check=False)


def test_chromium_draws_every_panel(tmp_path: Path) -> None:
    """Each panel of each dashboard has content, the console has no errors, and pictures are made."""
    done = preview("pictures", str(tmp_path))
    panels = [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]
    shown = sum(panel["type"] != "row" for panel in panels)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{shown} panels, {shown} drawn\n", "")
    pictures = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(pictures) == {f"preview_{path.stem}.png" for path in DASHBOARDS}
    assert all(picture.startswith(PNG) for picture in pictures.values())


def test_every_query_has_a_recorded_answer() -> None:
    """No query lacks its responses: `python -m preview.answers URL SECONDS` records them."""
    answers = json.loads((GRAFANA / "preview" / "answers.json").read_text())
    for board in (json.loads(path.read_text()) for path in DASHBOARDS):
        asked = [target for panel in board["panels"] for target in panel.get("targets", [])]
        for one in (*asked, *board["annotations"]["list"]):
            assert one["expr"] in answers["instant" if one.get("instant") else "range"]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """`make dashboards-preview` writes one file that loads no external resource, and says that it is a preview."""
    file = tmp_path / "preview.html"
    done = preview("page", str(file))
    assert (done.returncode, done.stdout) == (0, f"preview      {file}\n")
    text = file.read_text()
    assert "Preview" in text
    for word in ("<script src", '<link rel="stylesheet"', "@import", "fetch(", "XMLHttpRequest"):
        assert word not in text


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_documentation_shows_each_dashboard(path: Path) -> None:
    """docs/dashboards.md shows a picture of each, small, and calls it a preview."""
    name = f"preview_{path.stem}.png"
    picture = ROOT / "docs" / "pictures" / name
    assert picture.read_bytes().startswith(PNG)
    assert picture.stat().st_size <= 200_000
    assert f"(pictures/{name})" in (ROOT / "docs" / "dashboards.md").read_text()


def test_every_picture_of_the_documentation_is_made_by_a_command() -> None:
    """`make pictures` makes those of the dashboards, and that of a report for the README; there are no others."""
    made = {f"preview_{path.stem}.png" for path in DASHBOARDS} | {"report.png"}
    assert {path.name for path in (ROOT / "docs").rglob("*.png")} == made
    assert "(docs/pictures/report.png)" in (ROOT / "README.md").read_text()
    target = (ROOT / "Makefile").read_text().partition("\npictures:")[2].partition("\n\n")[0]
    assert [re.findall(r"-m (preview\.\w+) (\S+)", line) for line in target.splitlines()[1:]] == [
        [("preview.pictures", "../docs/pictures")],
        [("preview.report", "../docs/pictures/report.png")],
    ]


def test_a_picture_of_a_report_is_taken(tmp_path: Path) -> None:
    """The picture is of a real page, in Chromium; without a run, the command says what to do."""
    report = tmp_path / "report.html"
    report.write_text(run_page.html(reports.run_document()))
    code = "import pathlib, sys; from preview.report import picture as take; "
    code += "sys.stdout.buffer.write(take(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(report)], cwd=GRAFANA, capture_output=True, timeout=120, check=True
    )
    assert done.stdout.startswith(PNG)
    missing = preview("report", str(tmp_path / "a.png"), "no-such-run")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("error: ")
    assert "make loadtest" in missing.stderr

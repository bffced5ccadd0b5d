"""Write the preview, one HTML page that needs nothing else: `make dashboards-preview`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from preview import answers, dashboards

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "locust" / "loadtest" / "assets"
TITLE = "Preview of the dashboards"


def page() -> str:
    """Return the page: the dashboards, the recorded answers, uPlot, and what draws them."""
    data = {"boards": dashboards.read(), "answers": json.loads(answers.FILE.read_text(encoding="utf-8"))}
    # "<" would end the script element if a label held "</script>".
    embedded = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{TITLE}</title>
<link rel="icon" href="data:,">
<style>{_read(ASSETS / "uPlot.min.css")}{_read(HERE / "page.css")}</style>
<body>
<script>{_read(ASSETS / "uPlot.iife.min.js")}</script>
<script>const DATA = {embedded};</script>
<script type="module">{_read(HERE / "page.js")}</script>
</body>
</html>
"""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main() -> int:
    """Write the page to the path that is given."""
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"preview      {path.resolve()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

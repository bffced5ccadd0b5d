"""Take the picture of a report for the documentation: `python -m preview.report FILE [RUN]`, in grafana/.

It shows the top of report.html of a run in runs/, by default of the latest, in the light theme.
"""

from __future__ import annotations

import sys
from pathlib import Path

from preview import pictures, png

RUNS = Path(__file__).parents[2] / "runs"
HEIGHT = 1180


def picture(report: Path) -> bytes:
    """Return the picture, as PNG."""
    with pictures.opened(report.resolve()) as (view, _):
        view.emulate_media(color_scheme="light")
        view.set_viewport_size({"width": pictures.WIDTH, "height": HEIGHT})
        view.wait_for_selector("html[data-drawn]")
        shot = view.screenshot()
        view.goto("about:blank")  # the report's policy lets nobody work on pictures in it
        return png.small(view, shot)


def main() -> int:
    """Write the picture of a run's report."""
    file, *names = sys.argv[1:]
    runs = sorted(RUNS.glob(f"{names[0] if names else '*'}/report.html"))
    if not runs:
        wanted = names[0] if names else "any run"
        sys.stderr.write(f"error: {RUNS} has no report of {wanted}. Next: make one with make loadtest.\n")
        return 2
    Path(file).write_bytes(picture(runs[-1]))
    sys.stdout.write(f"picture      {Path(file).resolve()} of {runs[-1].parent.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

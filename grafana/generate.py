"""Write grafana/dashboards/*.json from the modules of grafana/boards: `make dashboards`.

Rules that hold for every panel, checked by tests/contracts/test_dashboards.py: core panels only, a unit, a
description, rates over `$__rate_interval` and taken before they are summed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards import compare, generator, history, home, load_run, redis, target

FOLDER = Path(__file__).parent / "dashboards"
MODULES = (home, load_run, compare, history, generator, target, redis)
DASHBOARDS = {f"{module.__name__.rpartition('.')[2]}.json": module for module in MODULES}
SCHEMA_VERSION = 39
"""Grafana 11's: later versions migrate an older schema to their own; an older one cannot read a newer schema."""


def render(name: str) -> str:
    """Return the text of a dashboard's file."""
    built = DASHBOARDS[name].build().build()
    built.schema_version = SCHEMA_VERSION
    board = json.loads(json.dumps(built, cls=JSONEncoder))
    for shown in (*board["links"], *board["annotations"]["list"]):
        shown.pop("placement", None)  # the SDK's own default hides them in a menu
    for variable in board["templating"]["list"]:
        if variable["name"] == "shift":  # it is derived from the runs; the SDK has no option for that
            variable["skipUrlSync"] = True
    return json.dumps(board, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write every dashboard's file."""
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / name).write_text(render(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

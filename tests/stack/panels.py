"""The panels of the dashboards, and views of them: their queries as Grafana sends them, with variables substituted."""

from __future__ import annotations

import functools
import json
import re
import urllib.error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.stack.compose import ROOT, filled

if TYPE_CHECKING:
    from tests.stack.compose import Project

BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
}
"""The dashboards by uid."""
ALL = ".*"
LONG_S = 7200
"""A range that holds all runs, from a moment long after them too."""


def panel_of(uid: str, title: str) -> dict[str, Any]:
    """Return the panel of a dashboard that has this title."""
    panels = BOARDS[uid]["panels"]
    panel: dict[str, Any] = next(one for one in panels if one["title"] == title and "targets" in one)
    return panel


def expression_of(uid: str, title: str) -> str:
    """Return the first query of that panel."""
    expression: str = panel_of(uid, title)["targets"][0]["expr"]
    return expression


@dataclass(frozen=True)
class Look:
    """A look at the dashboards.

    Attributes:
        project: the stack whose Prometheus is asked.
        at_s: the end of the time range, in seconds since the epoch; it may be in the future.
        run: the run that is chosen, by default all.
        range_s: the length of the time range.
    """

    project: Project
    at_s: float
    run: str = ALL
    range_s: int = LONG_S

    def query(self, expression: str) -> str:
        """Return a query with the variables filled in."""
        return filled(expression, chosen=self._chosen)

    def rows(self, expression: str) -> list[dict[str, Any]]:
        """Return the response to a query.

        Raises:
            ValueError: Prometheus answered by an error.
        """
        try:
            return self.project.query(self.query(expression), self.at_s)
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None

    @functools.cached_property
    def _chosen(self) -> dict[str, str]:
        """The selected run, and the variables that follow from it, each with the first value found."""
        chosen = {"$run": self.run, "$__range": f"{self.range_s}s"}
        for one in BOARDS["compare"]["templating"]["list"]:
            if one["name"] in {"before", "shift"}:
                asked = re.fullmatch(r"query_result\((.*)\)", one["query"]["query"])
                assert asked
                rows = self.project.query(filled(asked[1], chosen=chosen), self.at_s)
                found = [match[1] for row in rows if (match := re.search(one["regex"].strip("/"), _as_text(row)))]
                chosen |= dict.fromkeys((f"${one['name']}", f"${{{one['name']}}}"), max(found, default=""))
        return chosen


def _as_text(row: dict[str, Any]) -> str:
    """Return the text to which Grafana applies the regular expression of a variable."""
    labels = ",".join(f'{name}="{value}"' for name, value in row["metric"].items())
    moment_s, value = row["value"]
    return f"{{{labels}}} {value} {round(moment_s * 1000)}"

"""The committed dashboards, as the preview reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / "dashboards"
ORDER = ("home", "load_run", "compare", "history", "generator", "target", "redis")


class Query(NamedTuple):
    """A question to Prometheus; `instant` ones are about the end of the time range only."""

    expr: str
    instant: bool


def read() -> list[dict[str, Any]]:
    """Return the dashboards in the order of their links."""
    return [json.loads((FOLDER / f"{uid}.json").read_text(encoding="utf-8")) for uid in ORDER]


def queries(boards: list[dict[str, Any]]) -> Iterator[Query]:
    """Yield every query of panels and annotations, each once."""
    seen = set()
    for board in boards:
        asked = [target for panel in board["panels"] for target in panel.get("targets", [])]
        for one in (*asked, *board["annotations"]["list"]):
            query = Query(one["expr"], one.get("instant", False))
            if query not in seen:
                seen.add(query)
                yield query


def asked_variables(boards: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield the variables whose values are found in an answer: name, expression, regular expression."""
    for one in boards[0]["templating"]["list"]:
        if one["type"] == "query" and one["query"]["query"].startswith("query_result("):
            expr = one["query"]["query"].removeprefix("query_result(").removesuffix(")")
            yield one["name"], expr, one["regex"].strip("/")

"""The kinds of panel: a current value, curves over time, a heatmap, a table, a text. All are Grafana core panels."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import common, dashboard, heatmap, stat, table, text, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

from boards.queries import DATASOURCE, curve, firing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grafana_foundation_sdk.builders import prometheus

SMALLEST_AXES = {"s": 0.001, "percentunit": 0.01}
"""The axis maximum for curves that are 0, by unit; otherwise 1. Grafana's default would be 100."""
STAT_HEIGHT = 4
PANEL_HEIGHT = 8
LEGEND_PX = 260
GOOD, BAD, DOUBTFUL, QUIET = "green", "red", "orange", "text"


def figure(title: str, description: str, unit: str, *queries: prometheus.Dataquery, span: int = 4) -> stat.Panel:
    """Return a panel of one or a few values at the end of the time range; narrower than 4, its title is cut off."""
    panel = (
        stat.Panel()
        .height(STAT_HEIGHT)
        .color_mode(c.BigValueColorMode.VALUE)
        .graph_mode(c.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(limits(None))
        .no_value("none")
    )
    return _described(panel, title, description, unit=unit, span=span, queries=queries)


def word(
    title: str, description: str, query: prometheus.Dataquery, colors: Mapping[str, str], span: int = 4
) -> stat.Panel:
    """Return a panel that shows the names of the existing series, in their colours.

    Without a series it would be blank: the query must always return one.
    """
    panel = figure(title, description, "none", query, span=span).text_mode(c.BigValueTextMode.NAME)
    panel.orientation(c.VizOrientation.HORIZONTAL)  # several names are listed vertically
    for name, color in colors.items():
        panel.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": color})])
    return panel


def curves(
    title: str,
    description: str,
    unit: str,
    *queries: prometheus.Dataquery,
    span: int = 8,
    stacked: bool = False,
    logarithmic: bool = False,
    many: bool = False,
) -> timeseries.Panel:
    """Return a panel of curves over time, on a scale from 0 or a logarithmic one.

    Args:
        title: of the panel.
        description: of the panel.
        unit: of the curves.
        queries: the curves.
        span: the panel's width.
        stacked: whether each curve begins on the one below.
        logarithmic: whether the scale is logarithmic.
        many: whether there may be dozens of curves: their legend is then a table next to them, in descending order.
    """
    panel = (
        timeseries.Panel()
        .height(PANEL_HEIGHT)
        .line_width(1)
        .fill_opacity(25 if stacked else 5)
        .show_points(c.VisibilityMode.NEVER)
        .legend(_legend(many=many))
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    )
    if logarithmic:
        panel.scale_distribution(common.ScaleDistributionConfig().type(c.ScaleDistribution.LOG).log(10))
    else:
        panel.min(0).axis_soft_max(SMALLEST_AXES.get(unit, 1.0))
    if stacked:
        panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    return _described(panel, title, description, unit=unit, span=span, queries=queries)


def _legend(*, many: bool) -> common.VizLegendOptions:
    if not many:
        shown = common.VizLegendOptions().display_mode(c.LegendDisplayMode.LIST)
        return shown.placement(c.LegendPlacement.BOTTOM).show_legend(True)
    table_of = common.VizLegendOptions().display_mode(c.LegendDisplayMode.TABLE).calcs(["max"]).sort_by("Max")
    return table_of.sort_desc(True).placement(c.LegendPlacement.RIGHT).width(LEGEND_PX).show_legend(True)


def with_line(panel: timeseries.Panel, limit: float) -> timeseries.Panel:
    """Draw a fixed limit as a dashed red line."""
    style = common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(_steps((None, QUIET), (limit, BAD))).thresholds_style(style)


def with_limits(panel: timeseries.Panel, metrics: str, legend: str, letter: str) -> timeseries.Panel:
    """Add the run's thresholds on some metrics as dashed red lines; the letter is the query's, the next free one.

    A threshold on one name is drawn if that name is selected, one on all requests always.
    """
    selector = f'metric=~"{metrics}", scenario=~"$scenario|", name=~"$name|"'
    asked = curve(f"loadtest_threshold_limit{{{selector}}}", legend).ref_id(letter)
    looks = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom.fillOpacity": 0,
        "color": {"mode": "fixed", "fixedColor": BAD},
    }
    return panel.with_target(asked).override_by_query(letter, [_property(*look) for look in looks.items()])


def colored(panel: timeseries.Panel, colors: Mapping[str, str]) -> timeseries.Panel:
    """Give the curves of these names fixed colours."""
    for name, color in colors.items():
        panel.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": color})])
    return panel


def thin(panel: timeseries.Panel, *names: str) -> timeseries.Panel:
    """Draw the curves with these names thin and grey, behind the others."""
    looks = {
        "custom.lineStyle": {"fill": "dash", "dash": [3, 4]},
        "custom.fillOpacity": 0,
        "color": {"mode": "fixed", "fixedColor": "blue"},
    }
    for name in names:
        panel.override_by_name(name, [_property(*look) for look in looks.items()])
    return panel


def on_the_right(panel: timeseries.Panel, name: str, unit: str) -> timeseries.Panel:
    """Give the curve with this name a separate axis, on the right."""
    return panel.override_by_name(name, [_property("unit", unit), _property("custom.axisPlacement", "right")])


def distribution(title: str, description: str, query: prometheus.Dataquery, span: int = 12) -> heatmap.Panel:
    """Return a heatmap: a column is a point in time, a cell's colour the number of requests in it."""
    panel = (
        heatmap.Panel()
        .height(PANEL_HEIGHT)
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.OPACITY)  # one hue, more intense for higher values in light and dark themes
            .fill("blue")
            .exponent(0.5)
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit("s").axis_placement(c.AxisPlacement.LEFT))
    )
    return _described(panel, title, description, unit="short", span=span, queries=(query,))


class Column:
    """A column of a table: its title, query, unit and width in pixels; width 0 hides a column that only links use."""

    def __init__(self, title: str, unit: str, query: prometheus.Dataquery, width_px: int = 80) -> None:
        self.title, self.unit, self.query, self.width_px = title, unit, query, width_px


def rows(
    title: str, description: str, labels: Mapping[str, tuple[str, int]], *columns: Column, span: int = 24
) -> table.Panel:
    """Return a table with a row for each set of labels; the first column sorts it, the largest value first.

    Args:
        title: of the panel.
        description: of the panel.
        labels: the labels to show, with their titles and widths in pixels.
        columns: the figures.
        span: the panel's width.
    """
    names = {f"Value #{letter}": one.title for letter, one in zip(ascii_uppercase, columns, strict=False)}
    if len(columns) == 1:
        names = {"Value": columns[0].title}
    order = {name: number for number, name in enumerate((*labels, *names))}
    panel = (
        table.Panel()
        .height(PANEL_HEIGHT)
        .sort_by([common.TableSortByFieldState().display_name(columns[0].title).desc(True)])
        .with_transformation(d.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            d.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    "renameByName": {label: name for label, (name, _) in labels.items()} | names,
                },
            )
        )
    )
    for name, width_px in labels.values():
        whole = _property("custom.cellOptions", {"type": "auto", "wrapText": True})
        panel.override_by_name(name, [_property("custom.width", width_px), whole])
    for one in columns:
        size = [_property("custom.width", one.width_px)]
        hidden = [_property("custom.hidden", value=True), _property("custom.hideFrom", {"viz": True})]
        panel.override_by_name(one.title, [_property("unit", one.unit), *(size if one.width_px else hidden)])
    return _described(panel, title, description, unit="none", span=span, queries=tuple(one.query for one in columns))


def linked(panel: table.Panel, name: str, title: str, url: str) -> table.Panel:
    """Turn the values of this column into links."""
    return panel.override_by_name(name, [_property("links", [{"title": title, "url": url}])])


def alerts(description: str, labels: str = "", **size: Any) -> stat.Panel:
    """Return a panel with the names of the firing alerts; a click on one opens Prometheus' alerts page."""
    title = "Alerts about trust" if labels else "Alerts"
    panel = word(title, description, firing(labels), {"none": QUIET}, **size)
    page = {"title": "Show the alerts in Prometheus", "url": "http://127.0.0.1:9090/alerts", "targetBlank": True}
    return panel.override_by_regexp(".+", [_property("links", [page])])


def words(title: str, description: str, content: str, span: int, height: int) -> text.Panel:
    """Return a panel of Markdown."""
    return (
        text.Panel().title(title).description(description).content(content).mode("markdown").height(height).span(span)
    )


def limits(red: float | None, *, below: bool = False) -> dashboard.ThresholdsConfig:
    """Return green below a limit and red from it on, or the reverse.

    Values that are not numbers, such as "none", and those without a limit are neutral.
    """
    low, high = (BAD, GOOD) if below else (GOOD, BAD)
    return _steps((None, QUIET)) if red is None else _steps((None, QUIET), (0, low), (red, high))


def _steps(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    made = [d.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(made)


def _property(name: str, value: object) -> d.DynamicConfigValue:
    return d.DynamicConfigValue(id_val=name, value=value)


def _described(panel: Any, title: str, description: str, *, unit: str, span: int, queries: Any) -> Any:
    """Set the fields that every panel has; the queries get the reference letters A, B, C …"""
    panel.title(title).description(description).unit(unit).datasource(DATASOURCE).span(span)
    for letter, built in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(built.ref_id(letter))
    return panel

"""Exporting: the master's metrics for Prometheus.

`exporter` is the HTTP server, `exposition` the text that it serves, `metrics` the table of metrics, `scrape` the state
from which values are read, `series` the text of one request name, `run_progress` the state of a run that is not in its
record, and `compatibility` the metric names of other exporters. tests/unit/exporting tests them together, by real
scrapes.
"""

"""Exporting: what the master tells Prometheus.

`exporter` is the HTTP server, `exposition` the text that it serves, `metrics` the table of metrics, `scrape` the state
that their values are read from, `series` the text of one request name, `run_progress` what is known of a run besides
its record, `compatibility` the metric names of other exporters.
tests/unit/exporting tests them together, by real scrapes.
"""

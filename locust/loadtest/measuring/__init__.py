"""Measuring: from a finished request to one complete record of the run. docs/measuring.md draws a request's path.

On a worker, `recorder` counts requests into `measurements`, and `delivery` sends them as numbered deltas in the format
defined in `wire`. On the master, `collector` merges them into the `record`, with its `timeline` and `blocks`, and
`record_file` writes it to disk. A `histogram_table` holds histograms as rows; `health` is what the processes observe
about themselves.
"""

"""Measuring: from a finished request to one complete record of the run. docs/measuring.md draws the path of a request.

On a worker, `recorder` counts requests into `measurements`, and `delivery` sends them as numbered deltas in the format
of `wire`. On the master, `collector` merges them into the `record`, with its `timeline` and `blocks`, and `record_file`
writes it to disk. Rows of histograms are a `histogram_table`; `health` is what the processes observe about themselves.
"""

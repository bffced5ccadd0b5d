"""Exporting: what the master tells Prometheus while runs come and go.

`exporter` serves it, `exposition` writes it, `metrics` is the table of what there is, `series` the text of one series,
`course` what the conduct of a run says besides its record, `compatibility` the names of other exporters.
"""

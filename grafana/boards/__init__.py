"""The dashboards, one module each; `panels`, `queries` and `frame` hold what they share."""

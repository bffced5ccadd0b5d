"""The dashboards, one module each; `panels`, `queries` and `frame` are shared."""

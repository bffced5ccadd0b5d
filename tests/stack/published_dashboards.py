"""The queries of two published dashboards, and the metrics of the exporters for which they were made.

11985 belongs to ContainerSolutions' locust_exporter; these are all of its queries. 12081 was made for the exporter that
comes with boomer; these query each of that exporter's families, for one path and in total.
"""

_OF_NAMES = (
    "avg_content_length",
    "min_response_time",
    "max_response_time",
    "avg_response_time",
    "median_response_time",
    "num_failures",
    "current_fail_per_sec",
    "num_requests",
    "current_rps",
)
DASHBOARD_11985 = (
    "locust_running",
    "locust_users",
    "sum(locust_requests_current_rps)",
    'locust_requests_num_requests{method=~""}',
    "locust_requests_fail_ratio",
    "locust_slaves_count",
    'locust_requests_num_failures{method=~""}',
    *(f'sum(locust_requests_{name}{{method=~".+"}}) by (method, name)' for name in _OF_NAMES),
    *(f"avg(locust_requests_{name}_response_time)" for name in ("max", "min", "avg", "median")),
    "locust_requests_current_response_time_percentile_95",
    "locust_requests_current_response_time_percentile_50",
    'rate(locust_requests_num_requests{method=~".+"}[1m])',
    ' sum(rate(locust_requests_num_requests{method=~".+"}[1m]))',
    "locust_requests_fail_ratio * 100",
)
ERRORS_OF_11985 = "sum(locust_errors) by (method, name, error)"
"""A run without errors has no answer to it, from that exporter neither."""
DASHBOARD_12081 = (
    "locust_user_count",
    "locust_slave_count",
    "locust_fail_ratio",
    'locust_state{state="running"}',
    *(f'locust_stats_{name}{{path="Aggregated"}}' for name in (*_OF_NAMES, "ninetieth_response_time")),
    *(f'locust_stats_{name}{{path!="Aggregated"}}' for name in (*_OF_NAMES, "ninetieth_response_time")),
    'rate(locust_stats_num_requests{path!="Aggregated"}[1m])',
)

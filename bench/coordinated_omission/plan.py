"""The load that is the same for every way of measuring."""

RATE_PER_S = 600
RUN_S = 20
USERS = 4
"""For the closed model: enough for the rate at 6.7 ms per request, ten times the target's service time."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)

"""How many cases the fuzz tests make, all together: 2,000, or as many as FUZZ_CASES says."""

import os

from hypothesis import HealthCheck, settings

TESTS = 26
CASES = int(os.environ.get("FUZZ_CASES", "2000"))

# The usual number of cases is always the same ones; a larger one is always another.
settings.register_profile(
    "fuzz",
    max_examples=max(1, CASES // TESTS),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
fuzz = settings.get_profile("fuzz")

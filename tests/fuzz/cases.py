"""Shared by fuzz tests: the total number of cases (FUZZ_CASES, by default 2,000), and JSON."""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TESTS = 28
CASES = int(os.environ.get("FUZZ_CASES", "2000"))

# The default number of cases always gives the same ones; a larger number gives other ones each time.
settings.register_profile(
    "fuzz",
    max_examples=max(1, CASES // TESTS),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
fuzz = settings.get_profile("fuzz")


def json_values(names: st.SearchStrategy[str], texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Draw any JSON value, with these field names and texts."""
    return st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
        max_leaves=8,
    )

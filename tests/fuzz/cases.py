"""Shared by fuzz tests: the total number of cases (FUZZ_CASES, by default 2,000), and JSON."""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TESTS = 28
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


def json_values(names: st.SearchStrategy[str], texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Draw what JSON can say, with these names of fields and these texts."""
    return st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
        max_leaves=8,
    )

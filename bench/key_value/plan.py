"""The workload of each tool: the same keys, values and connections."""

from typing import Final

CONNECTIONS: Final = 16
KEYS: Final = 10_000
FILLED: Final = 6_000
"""The keys that exist: those with the lowest numbers."""
VALUE_BYTES: Final = 500
DEVIATION: Final = 0.1
ZIPF: Final = 0.99
RATE_PER_S: Final = 2_000
RUN_S: Final = 10

"""Refusals: what this process's end of the link has refused since the process started, counted by reason."""

from __future__ import annotations

import logging
import time
from typing import Final

logger = logging.getLogger(__name__)

HANDSHAKE: Final = "handshake"
"""A peer without the key."""
FORGED: Final = "forged"
"""A message in the name of another worker."""
MALFORMED: Final = "malformed"
"""Bytes that are not a message, or a message that does not match the schema of its kind."""
UNKNOWN: Final = "unknown"
"""A message of an unknown kind."""
_LOG_EVERY_S: Final = 10.0

counts: Final = dict.fromkeys((HANDSHAKE, FORGED, MALFORMED, UNKNOWN), 0)
_logged_at_s: Final[dict[str, float]] = {}


def refuse(reason: str, why: str, error: Exception | None = None) -> None:
    """Count a refusal, and log it with the error's traceback unless the same reason was logged in the last 10 s."""
    counts[reason] += 1
    now_s = time.monotonic()
    if now_s - _logged_at_s.get(reason, -_LOG_EVERY_S) >= _LOG_EVERY_S:
        _logged_at_s[reason] = now_s
        so_far = counts[reason]
        logger.warning("link: refused %d so far (%s), the last one because %s", so_far, reason, why, exc_info=error)

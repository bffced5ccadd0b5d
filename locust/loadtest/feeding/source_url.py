"""SourceUrl: a feed's URL, split into the store's URL and the parameters of the query.

Tested in tests/unit/feeding/test_sources.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from loadtest.exceptions import UsageError
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence


class SourceUrl:
    """A URL, taken apart.

    Args:
        url: the whole URL.
        names: the parameters of the query; the others are the store's.
        allowed: a description of allowed URLs, for errors.

    Attributes:
        given: the values of the query's parameters.
        store: the URL without them.

    Raises:
        UsageError: for such a parameter that is empty or there twice.
    """

    def __init__(self, url: str, names: Sequence[str], allowed: str) -> None:
        self._name = without_credentials(url)
        self._allowed = allowed
        base, _, query = url.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        own = [(name, value) for name, value in pairs if name in names]
        self.given = dict(own)
        rest = urlencode([pair for pair in pairs if pair[0] not in names])
        self.store = f"{base}?{rest}" if rest else base
        if len(own) != len(self.given) or not all(self.given.values()):
            raise self.wrong(f"{', '.join(names)}: one of them is empty, or given twice")

    def wrong(self, reason: str) -> UsageError:
        """Return the error for a URL that cannot be read."""
        return UsageError(f"FEED={self._name}: {reason}. Allowed: {self._allowed}. Next: correct it.")

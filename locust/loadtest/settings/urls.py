"""URLs without their credentials, for logs and reports.

Tested in tests/unit/reporting/test_provenance.py.
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^@\s]*@(?=\S)")
_SECRET_PARAMETERS = re.compile(r"(?i)([?&](?:[a-z]*password|[a-z]*token|[a-z]*secret|username)=)[^&\s]*")


def without_credentials(text: str) -> str:
    """Return a text with ``***`` in place of the credentials of every URL in it."""
    return _SECRET_PARAMETERS.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def has_credentials(url: str) -> bool:
    """Return whether a URL holds credentials."""
    return without_credentials(url) != url

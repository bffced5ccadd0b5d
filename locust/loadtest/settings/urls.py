"""URLs as people may see them: without what is secret in them."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^@\s]*@(?=\S)")
_SECRET_PARAMETERS = re.compile(r"(?i)([?&](?:[a-z]*password|[a-z]*token|[a-z]*secret|username)=)[^&\s]*")


def without_credentials(text: str) -> str:
    """Return a text, of whatever form, in which ``***`` stands for the credentials of every URL."""
    return _SECRET_PARAMETERS.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def has_credentials(url: str) -> bool:
    """Say whether a URL holds credentials."""
    return without_credentials(url) != url

"""The value types of settings: their allowed values, and how they are parsed from text."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from loadtest.settings.hosts import is_http

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


def duration_s(text: object) -> float:
    """Return the seconds that a duration such as `90`, `20s`, `1m30s` or `2h` means.

    Raises:
        ValueError: the text is not a duration.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or not any(match.groups()):
        raise ValueError("not a duration")
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _base_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        raise ValueError("not a base URL")
    _ = url.port  # raises ValueError if it is not a port number
    return value.rstrip("/")


def _host(value: str) -> str:
    if not value or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ValueError("not a host")
    return _base_url(value) if is_http(value) else value


def _redis_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("redis", "rediss", "unix") or not (url.hostname or url.path):
        raise ValueError("not a Redis URL")
    if url.scheme != "unix":
        _ = url.port
    return value


Users = Annotated[int, Field(ge=1, le=1_000_000)]
SpawnRate = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False, strict=False)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False, strict=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, BeforeValidator(duration_s), Field(gt=0, le=7 * 24 * 3600, allow_inf_nan=False)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Host = Annotated[str, AfterValidator(_host)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]

"""A cookie jar for one user, as in RFC 6265.

It supports what matters under load: domain, path, Secure, expiry. It has no list of public suffixes, so it accepts a
cookie for a whole top-level domain if a server of that domain sets one.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import Cookie as StandardCookie
from ipaddress import ip_address
from time import time

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.http.url import Url

_COOKIE = b"Cookie: "
_MAX_COOKIES = 300
_MAX_COOKIE_BYTES = 8192
_INTEGER = re.compile(r"-?[0-9]+")
_LONGEST_AGE_S = 400 * 86400.0  # the most that RFC 6265bis allows


@dataclass(slots=True)
class Cookie:
    """One cookie.

    Attributes:
        name: Its name.
        value: Its value, as received.
        domain: The host that set it, or its Domain attribute; "" for every host.
        host_only: Whether only that host gets it, and not its subdomains.
        path: The path prefix it is for.
        secure: Whether it is sent over TLS only.
        expires_s: When it ends, in seconds since the epoch, or None for the end of the session.
    """

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool
    expires_s: float | None

    def matches(self, url: Url) -> bool:
        """Tell whether a request to the URL carries this cookie."""
        if self.secure and url.origin.scheme != "https":
            return False
        if self.domain and not _domain_matches(url.origin.host.lower(), self.domain, self.host_only):
            return False
        path = url.path
        return path == self.path or (
            path.startswith(self.path) and (self.path.endswith("/") or path[len(self.path)] == "/")
        )

    def standard(self) -> StandardCookie:
        """The same in the form of http.cookiejar."""
        expires = None if self.expires_s is None else int(self.expires_s)
        wide = bool(self.domain) and not self.host_only
        return StandardCookie(
            version=0,
            name=self.name,
            value=self.value,
            port=None,
            port_specified=False,
            domain=f".{self.domain}" if wide else self.domain,
            domain_specified=wide,
            domain_initial_dot=wide,
            path=self.path,
            path_specified=True,
            secure=self.secure,
            expires=expires,
            discard=expires is None,
            comment=None,
            comment_url=None,
            rest={},
        )


class CookieJar(MutableMapping[str, str]):
    """The cookies of one user; as a mapping, of name and value for every host."""

    def __init__(self) -> None:
        """Start empty."""
        self._cookies: dict[tuple[str, str, str], Cookie] = {}
        self._lines: dict[str, bytes] = {}
        self._expires_s = float("inf")

    def store(self, url: Url, lines: list[str]) -> None:
        """Take the Set-Cookie fields of a response to a URL."""
        for line in lines:
            cookie = _parse(url, line)
            if cookie is not None:
                self._put(cookie)

    def line_for(self, url: Url) -> bytes:
        """The Cookie header line for a request, b"" if no cookie matches."""
        if self._expires_s <= time():
            self._expire()
        line = self._lines.get(url.text)
        if line is None:
            if len(self._lines) >= _MAX_COOKIES:
                self._lines.clear()
            line = self._lines[url.text] = self._encode(url)
        return line

    def _encode(self, url: Url) -> bytes:
        matching = [cookie for cookie in self._cookies.values() if cookie.matches(url)]
        if not matching:
            return b""
        matching.sort(key=lambda cookie: -len(cookie.path))  # RFC 6265, 5.4: longer paths first
        pairs = "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in matching)
        return _COOKIE + pairs.encode("utf-8", "surrogateescape") + b"\r\n"

    def _put(self, cookie: Cookie) -> None:
        key = (cookie.domain, cookie.path, cookie.name)
        if cookie.expires_s is not None and cookie.expires_s <= time():
            self._cookies.pop(key, None)
        else:
            if len(self._cookies) >= _MAX_COOKIES and key not in self._cookies:
                self._cookies.pop(next(iter(self._cookies)))
            self._cookies[key] = cookie
            self._expires_s = min(self._expires_s, cookie.expires_s or float("inf"))
        self._lines.clear()

    def _expire(self) -> None:
        now_s = time()
        self._cookies = {
            key: cookie for key, cookie in self._cookies.items() if cookie.expires_s is None or cookie.expires_s > now_s
        }
        self._expires_s = min(
            (cookie.expires_s or float("inf") for cookie in self._cookies.values()), default=float("inf")
        )
        self._lines.clear()

    def put(self, cookie: StandardCookie) -> None:
        """Take a cookie of http.cookiejar's form.

        Raises:
            InvalidRequestError: It cannot be sent.
        """
        _encoded(cookie.name, cookie.value or "")
        domain = cookie.domain.removeprefix(".").lower()
        host_only = not cookie.domain_specified
        expires_s = None if cookie.expires is None else float(cookie.expires)
        self._put(
            Cookie(cookie.name, cookie.value or "", domain, host_only, cookie.path or "/", cookie.secure, expires_s)
        )

    def standard(self) -> list[StandardCookie]:
        """The cookies in the form of http.cookiejar."""
        self._expire()
        return [cookie.standard() for cookie in self._cookies.values()]

    def remove(self, chosen: Callable[[Cookie], bool]) -> None:
        """Forget the matching cookies."""
        self._cookies = {key: cookie for key, cookie in self._cookies.items() if not chosen(cookie)}
        self._lines.clear()

    def __getitem__(self, name: str) -> str:
        """The value of the most recently set cookie of that name."""
        for cookie in reversed(self._cookies.values()):
            if cookie.name == name:
                return cookie.value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        """Send a cookie to every host.

        Raises:
            InvalidRequestError: It cannot be sent.
        """
        _encoded(name, value)
        self._put(Cookie(name, value, "", host_only=False, path="/", secure=False, expires_s=None))

    def __delitem__(self, name: str) -> None:
        """Forget every cookie of that name."""
        keys = [key for key, cookie in self._cookies.items() if cookie.name == name]
        if not keys:
            raise KeyError(name)
        for key in keys:
            del self._cookies[key]
        self._lines.clear()

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(dict.fromkeys(cookie.name for cookie in self._cookies.values()))

    def __len__(self) -> int:
        """The number of different names."""
        return len({cookie.name for cookie in self._cookies.values()})


def line_with(line: bytes, own: Mapping[str, str]) -> bytes:
    """The Cookie header line of a call with its own cookies, which replace the user's cookies of the same name.

    Args:
        line: The line of the user's cookies, b"" for none.
        own: The call's, by name.

    Raises:
        InvalidRequestError: They are not a mapping of text to text, or one contains a character that would end the line
            or its pair.
    """
    if not isinstance(own, Mapping):
        raise InvalidRequestError(f"cookies is of type {type(own).__name__}; allowed is a mapping of name and value")
    pairs = dict(_encoded(name, value) for name, value in own.items())
    users = [pair for pair in line.removeprefix(_COOKIE).strip().split(b"; ") if pair]
    kept = [pair for pair in users if pair.partition(b"=")[0] not in pairs]
    return _COOKIE + b"; ".join([*kept, *(b"%b=%b" % pair for pair in pairs.items())]) + b"\r\n"


def _encoded(name: object, value: object) -> tuple[bytes, bytes]:
    """A cookie that the scenario gives, as bytes.

    Raises:
        InvalidRequestError: It is not text, or contains a character that would end its pair or the header line.
    """
    if isinstance(name, str) and isinstance(value, str) and not any(char in "\r\n;\0" for char in name + value):
        with suppress(UnicodeEncodeError):
            return name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")
    raise InvalidRequestError(
        f"the cookie {name!r}={value!r} cannot be sent; allowed is text without a line break and a semicolon"
    )


class StandardJar(Collection[StandardCookie]):
    """A user's cookies with the interface of http.cookiejar, which scenarios for FastHttpUser use.

    Args:
        jar: The cookies.
    """

    def __init__(self, jar: CookieJar) -> None:
        """Wrap a jar; changes here apply to it."""
        self._jar = jar

    def __iter__(self) -> Iterator[StandardCookie]:
        """The cookies."""
        return iter(self._jar.standard())

    def __len__(self) -> int:
        """Their number."""
        return len(self._jar.standard())

    def __contains__(self, cookie: object) -> bool:
        """Whether there is such a cookie."""
        return any(vars(each) == vars(cookie) for each in self) if isinstance(cookie, StandardCookie) else False

    def set_cookie(self, cookie: StandardCookie) -> None:
        """Send a cookie from now on."""
        self._jar.put(cookie)

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Forget all cookies, those of a domain, those of a path in it, or a single one."""
        bare = None if domain is None else domain.removeprefix(".").lower()
        self._jar.remove(
            lambda cookie: bare in {None, cookie.domain} and path in {None, cookie.path} and name in {None, cookie.name}
        )

    def clear_session_cookies(self) -> None:
        """Forget the cookies that end with the session."""
        self._jar.remove(lambda cookie: cookie.expires_s is None)


def _parse(url: Url, line: str) -> Cookie | None:
    """One Set-Cookie field (RFC 6265, 5.2 and 5.3), or None if it is to be ignored."""
    if len(line) > _MAX_COOKIE_BYTES:
        return None
    # A field is decoded as Latin-1. Most are UTF-8; any other is sent back as the same bytes.
    line = line.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    pair, *attributes = line.split(";")
    name, equals, value = pair.partition("=")
    if not equals or not (name.strip() or value.strip()):
        return None
    host = url.origin.host.lower()
    path = url.path.rpartition("/")[0] or "/"
    cookie = Cookie(name.strip(), value.strip(), host, host_only=True, path=path, secure=False, expires_s=None)
    settings = [attribute.strip().partition("=") for attribute in attributes]
    max_age_s: float | None = None
    for key, _, setting in settings:
        if key.strip().lower() == "max-age":
            max_age_s = _seconds(setting.strip())
        else:
            _apply(cookie, key.strip().lower(), setting.strip())
    if max_age_s is not None:
        cookie.expires_s = time() + max_age_s
    return cookie if _domain_matches(host, cookie.domain, cookie.host_only) else None


def _apply(cookie: Cookie, key: str, setting: str) -> None:
    """One attribute of a Set-Cookie field; unknown ones change nothing."""
    if key == "domain" and setting:
        cookie.domain, cookie.host_only = setting.removeprefix(".").lower(), False
    elif key == "path" and setting.startswith("/"):
        cookie.path = setting
    elif key == "secure":
        cookie.secure = True
    elif key == "expires":
        cookie.expires_s = _epoch_s(setting)


def _domain_matches(host: str, domain: str, host_only: bool) -> bool:
    if host == domain:
        return True
    return not host_only and host.endswith("." + domain) and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _seconds(text: str) -> float | None:
    """The value of Max-Age, limited to the longest time that browsers keep, however many digits it has."""
    if not _INTEGER.fullmatch(text):
        return None
    digits = text.lstrip("-0") or "0"
    age_s = min(float(digits[:12]), _LONGEST_AGE_S)
    return -age_s if text.startswith("-") else age_s


def _epoch_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text.replace("-", " ")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None

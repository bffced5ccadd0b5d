"""Targets: the hosts that a start from the web UI may load."""

import pytest

from loadtest.exceptions import UsageError
from loadtest.settings.allowed_hosts import Targets, check_open

OWN = "http://target_app:5000"


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        (None, OWN),
        (None, "https://TARGET_APP./v2"),
        (None, "http://localhost:8000"),
        (None, "http://127.0.0.1"),
        (None, "http://[::1]:8000"),
        ("staging.example", "https://staging.example"),
        ("*.example", "https://deep.staging.example"),
        ("10.0.0.0/8", "http://10.1.2.3"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("fd12::/16, ::2", "http://[::2]"),
        ("*", "https://anybody.invalid"),
    ],
)
def test_what_is_allowed_passes(allowed: str | None, url: str) -> None:
    """The own target, this machine, and what the setting names by name, wildcard, address or network."""
    Targets(allowed, OWN).check(url)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        (None, "http://other:5000"),
        ("*.example", "https://example"),
        ("*.example", "https://evilexample"),
        ("staging.example", "https://staging.example.evil"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("*", "http://169.254.169.254"),
        ("*", "http://2852039166"),
        ("*", "http://[fe80::1]"),
        ("*", "file:///etc/passwd"),
        ("*", "gopher://127.0.0.1:6379/_FLUSHALL"),
        ("*", "http+unix:///var/run/docker.sock"),
        ("*", "http://user:secret@127.0.0.1"),
        ("*", "http://127.0.0.1:99999"),
        ("*", "http://[::1"),
        ("*", "http:///nothing"),
        ("*", "http://a\tb"),
        ("*", "javascript:alert(1)"),
        ("*", "127.0.0.1"),
    ],
)
def test_what_is_not_allowed_is_refused(allowed: str | None, url: str) -> None:
    """Everything else, with what is allowed and the next step."""
    with pytest.raises(UsageError, match=r"(?s)Allowed: .*Next: "):
        Targets(allowed, OWN).check(url)


def test_a_wrong_setting_is_refused() -> None:
    """An item that is no host is named."""
    with pytest.raises(UsageError, match=r"'http://x', .*Allowed: names"):
        Targets("fine.example, http://x")


def test_what_does_not_resolve_is_left_to_the_requests() -> None:
    """A name that no resolver knows is no reason to refuse: its requests fail with class dns."""
    check_open("http://nobody.invalid")

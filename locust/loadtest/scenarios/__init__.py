"""The scenarios: one module for each built-in one, and what a scenario's file imports.

    from loadtest.scenarios import Scenario, accounts, bearer_headers

A module of this package whose name begins with `_` is no scenario; the others have the name of theirs.
"""

from loadtest.scenarios._declared import Declared, declared
from loadtest.scenarios._registry import files_of, load, names, requests_of, streams_of
from loadtest.scenarios._scenario import Scenario
from loadtest.settings.credentials import Account, accounts, api_key, api_key_cookie, basic_headers, bearer_headers

__all__ = [
    "Account",
    "Declared",
    "Scenario",
    "accounts",
    "api_key",
    "api_key_cookie",
    "basic_headers",
    "bearer_headers",
    "declared",
    "files_of",
    "load",
    "names",
    "requests_of",
    "streams_of",
]

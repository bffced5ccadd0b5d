"""The built-in scenarios, one module each, and the names that scenario files import.

    from loadtest.scenarios import Scenario, accounts, bearer_headers

Modules of this package whose names begin with `_` are not scenarios; each other module has its scenario's name.
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

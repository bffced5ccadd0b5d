"""The services that `create_app` attaches to the application, for its views.

Tested through the views that use them, mainly in tests/target_app/test_documents.py.
"""

from flask import current_app

from target_app.passwords import Passwords
from target_app.store import Store
from target_app.tokens import Tokens


def store() -> Store:
    """Return the application's store."""
    found: Store = current_app.extensions["store"]
    return found


def tokens() -> Tokens:
    """Return the service that creates and reads tokens."""
    found: Tokens = current_app.extensions["tokens"]
    return found


def passwords() -> Passwords:
    """Return the service that hashes and checks passwords."""
    found: Passwords = current_app.extensions["passwords"]
    return found

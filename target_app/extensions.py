"""What `create_app` puts into the application, for those who serve its requests."""

from flask import current_app

from target_app.passwords import Passwords
from target_app.store import Store
from target_app.tokens import Tokens


def store() -> Store:
    """Return the application's store."""
    found: Store = current_app.extensions["store"]
    return found


def tokens() -> Tokens:
    """Return what makes and reads the application's tokens."""
    found: Tokens = current_app.extensions["tokens"]
    return found


def passwords() -> Passwords:
    """Return what hashes and checks the application's passwords."""
    found: Passwords = current_app.extensions["passwords"]
    return found

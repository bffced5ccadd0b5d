"""The sample system under test: a Flask application over RedisJSON."""

import os
import secrets

from target_app import (
    assistant,
    client_accounts,
    coin_queue,
    documents,
    education,
    errors,
    health,
    home,
    notifications,
    openapi,
)
from target_app.application import Application
from target_app.metrics import Metrics
from target_app.passwords import Passwords
from target_app.settings import Settings
from target_app.store import Store
from target_app.tokens import Tokens

ROOMS = (assistant, client_accounts, coin_queue, documents, education, health, notifications)
"""The modules whose blueprints make up the API; each has its scenario in `loadtest.scenarios`."""


def create_app(config: Settings | None = None) -> Application:
    """Create the application. It does not connect to Redis before the first request.

    Args:
        config: the settings; by default, read from the environment.

    Raises:
        SettingsError: when the environment contains an invalid setting.
    """
    settings = config or Settings.from_environment(os.environ)
    app = Application(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["store"] = Store(settings.redis_url, settings.threads, settings.redis_timeout_s)
    app.extensions["passwords"] = Passwords(settings.password_cost)
    app.extensions["tokens"] = Tokens(
        settings.signing_key() or secrets.token_bytes(),
        settings.access_token_lifetime_s,
        settings.refresh_token_lifetime_s,
    )
    metrics = Metrics()
    app.extensions["sessions"] = notifications.Sessions(metrics)
    for room in ROOMS:
        app.register_blueprint(room.blueprint)
    home.install(app)
    openapi.install(app)
    metrics.install(app)
    errors.install(app, metrics)
    return app

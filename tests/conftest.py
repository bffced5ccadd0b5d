"""What every test shares."""

import gevent.monkey

gevent.monkey.patch_all()

from hypothesis import settings  # noqa: E402 - nothing may be imported before the patch

from tests.servers import redis_url, target_url  # noqa: E402 - nothing may be imported before the patch

# A busy machine is slow, not wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

__all__ = ["redis_url", "target_url"]

"""What every test shares."""

import gevent.monkey

gevent.monkey.patch_all()

from tests.servers import redis_url, target_url  # noqa: E402 - nothing may be imported before the patch

__all__ = ["redis_url", "target_url"]

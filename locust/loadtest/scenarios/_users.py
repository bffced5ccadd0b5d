"""The base classes of the built-in scenarios' users.

`LOADTEST_CLIENT=locust` runs the HTTP users on Locust's FastHttpUser for comparison; any other value on the lean
client.
"""

import os
from typing import TYPE_CHECKING

from loadtest.clients.redis import RedisJsonUser

if TYPE_CHECKING or os.environ.get("LOADTEST_CLIENT") != "locust":
    from loadtest.clients.http import HttpUser
else:
    from locust import FastHttpUser as HttpUser

__all__ = ["HttpUser", "RedisJsonUser"]

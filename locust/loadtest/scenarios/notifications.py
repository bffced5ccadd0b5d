"""WebSocket sessions in which a user sends messages and listens to what is pushed.

The service echoes each message: `MESSAGE`. Pushed events are those of the session: `first_event`, `event_gap`.
"""

import random

from locust import between, task

from loadtest.clients.websocket import WebSocketUser  # Locust has no WebSocket client
from loadtest.scenarios import Scenario

NAME = "notifications"
SESSION, ECHO = f"{NAME}/session", f"{NAME}/echo"

_CHANCE = random.Random(42)  # noqa: S311 - no secret


class NotificationsUser(WebSocketUser):
    """Keeps a session open for 5 to 20 s."""

    scenario = NAME
    wait_time = between(0.1, 0.5)

    @task
    def listen(self) -> None:
        """Send a message about every second, and read the events meanwhile."""
        with self.client.websocket("/api/notifications/session", name=SESSION) as socket:
            for number in range(_CHANCE.randint(5, 20)):
                socket.round_trip({"key": number, "read": [number - 1]}, ECHO)
                for _ in socket.events(_CHANCE.uniform(0.5, 1.5)):
                    pass


scenario = Scenario(
    name=NAME,
    user_classes=(NotificationsUser,),
    requests=(("GET", SESSION), ("MESSAGE", ECHO), ("CLOSE", SESSION)),
    streams=(("GET", SESSION),),
)

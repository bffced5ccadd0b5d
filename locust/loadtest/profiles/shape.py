"""ProfileShape: a load profile of the closed model as a Locust LoadTestShape."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import gevent
from locust.shape import LoadTestShape

from loadtest.profiles.curve import Stage

if TYPE_CHECKING:
    from loadtest.profiles.profile import LoadProfile

TICK_S = 1.0
"""How often Locust asks. A ramp becomes a staircase with steps of this width, centred on the curve."""


class ProfileShape(LoadTestShape):
    """Follows a profile's number of users, and ends the test with it; after a final ramp at most `TICK_S` late.

    Args:
        profile: one of the closed model.
    """

    def __init__(self, profile: LoadProfile) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.profile = profile
        self._users = 0
        self._spawn_rate_per_s = 1.0

    @property
    def is_ramping_up(self) -> bool:
        """Whether the users have yet to reach the end of the profile's first ramp-up."""
        return self._users < round(self.profile.curve.first_peak)

    def hold(self, users: int) -> None:
        """Switch to this number of users at the profile's spawn rate, and keep it to the profile's end."""
        t_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        left_s = self.profile.run_time_s - t_s
        until_now = Stage(t_s, self._users, "linear")
        self.profile = replace(self.profile, stages=(until_now, Stage(left_s, users, "step")))

    def reset_time(self) -> None:
        """Start again: Locust calls this before the first tick, and this product when the data is loaded."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self._users = 0

    def tick(self) -> tuple[int, float] | None:
        """Return the users to run now and how fast to get there; None at the end of the profile."""
        t_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        left_s = self.profile.run_time_s - t_s
        if left_s <= 0:
            return None
        users = self.profile.users_at(t_s + min(TICK_S, left_s) / 2)
        if left_s < TICK_S and users == self._users:  # nothing changes anymore, and the next tick would be too late
            gevent.sleep(left_s)
            return None
        if users != self._users:
            self._spawn_rate_per_s = max(1.0, abs(users - self._users) / TICK_S)
            self._users = users
        return self._users, self._spawn_rate_per_s

"""Limits on password attempts."""

from loadtest.web.attempts import FROM_ALL, FROM_ONE, WINDOW_S, Attempts


class Clock:
    """A clock set by the test."""

    now_s = 1000.0

    def __call__(self) -> float:
        """The current time."""
        return self.now_s


def test_one_address_has_five_attempts_a_minute() -> None:
    """After the fifth failure it waits until the first is a minute old; others do not."""
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(FROM_ONE):
        assert attempts.wait_s("mallory") == 0
        attempts.failed("mallory")
        clock.now_s += 1
    assert attempts.wait_s("mallory") == WINDOW_S - FROM_ONE
    assert attempts.wait_s("alice") == 0
    clock.now_s += WINDOW_S - FROM_ONE
    assert attempts.wait_s("mallory") == 0


def test_all_addresses_together_are_limited_too() -> None:
    """A client with many addresses gets at most fifty attempts a minute in total."""
    attempts = Attempts(Clock())
    for number in range(FROM_ALL):
        attempts.failed(f"10.0.0.{number}")
    assert attempts.wait_s("alice") == WINDOW_S


def test_success_forgets_the_failures() -> None:
    """After a correct password all attempts are available again."""
    attempts = Attempts(Clock())
    for _ in range(FROM_ONE):
        attempts.failed("alice")
    attempts.succeeded("alice")
    assert attempts.wait_s("alice") == 0


def test_memory_is_bounded() -> None:
    """However many addresses try, at most a thousand are remembered."""
    attempts = Attempts(Clock())
    for number in range(5000):
        attempts.failed(str(number))
    assert len(attempts._by_address) == 1000

"""How often a password may be tried."""

from loadtest.web.attempts import FROM_ALL, FROM_ONE, WINDOW_S, Attempts


class Clock:
    """Seconds that the test decides."""

    now_s = 1000.0

    def __call__(self) -> float:
        """The present."""
        return self.now_s


def test_one_address_has_five_attempts_a_minute() -> None:
    """After the fifth failure it waits until the first is a minute old; others need not."""
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
    """Somebody with many addresses gets no more than fifty attempts a minute in all."""
    attempts = Attempts(Clock())
    for number in range(FROM_ALL):
        attempts.failed(f"10.0.0.{number}")
    assert attempts.wait_s("alice") == WINDOW_S


def test_success_forgets_the_failures() -> None:
    """Who knew the password after all has all attempts again."""
    attempts = Attempts(Clock())
    for _ in range(FROM_ONE):
        attempts.failed("alice")
    attempts.succeeded("alice")
    assert attempts.wait_s("alice") == 0


def test_memory_is_bounded() -> None:
    """However many addresses try, no more than a thousand are remembered."""
    attempts = Attempts(Clock())
    for number in range(5000):
        attempts.failed(str(number))
    assert len(attempts._by_address) == 1000

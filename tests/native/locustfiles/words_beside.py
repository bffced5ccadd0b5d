"""What `prints` imports, at once and later."""

WORDS = ("one", "two")


def word(number):
    return WORDS[number % len(WORDS)]

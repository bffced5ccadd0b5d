"""What it costs a worker to take in a spawn message, of which it gets one a second while users ramp up.

Locust asks for each option in the message whether it is one of its own, and each time builds its whole command-line
parser for the answer: 0.2 to 0.3 s in all, during which no user runs, no time is measured right and, on a busy machine,
no heartbeat leaves, so that the master counts the worker as lost. The answer is always the same: ask once.
"""

from __future__ import annotations

import functools

from locust import argument_parser


def remember_options() -> None:
    """Make this process build Locust's default options once."""
    argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)

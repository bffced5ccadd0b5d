"""A spawn message does not hold a worker's users up."""

import time

from locust import argument_parser

from loadtest.swarm.replacements import spawn_message


def test_default_options_are_built_once(monkeypatch) -> None:
    """Asking as often as Locust does for one spawn message takes under 20 ms, and the answer is Locust's own."""
    monkeypatch.setattr(argument_parser, "default_args_dict", argument_parser.default_args_dict)
    locusts_own = argument_parser.default_args_dict()
    spawn_message.remember_options()
    argument_parser.default_args_dict()
    began_s = time.process_time()
    answers = [argument_parser.default_args_dict() for _ in range(100)]
    assert time.process_time() - began_s < 0.02
    assert all(locusts_own == answer for answer in answers)

"""`python -m loadtest.scenarios NAME_OR_FILE [OPTION …]`: prints what a scenario declares, as JSON for other processes.

Without a name, Locust's own settings determine the locustfile. The options are Locust's, including those of the file.
"""

import gevent.monkey

gevent.monkey.patch_all()

import json  # noqa: E402 - gevent comes before what it patches
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

from locust.argument_parser import get_parser, parse_locustfile_option  # noqa: E402

from loadtest import scenarios  # noqa: E402
from loadtest.exceptions import UsageError, unknown_name  # noqa: E402
from loadtest.settings.config import Config  # noqa: E402
from loadtest.users.target import speaking_http  # noqa: E402

_LOCUSTFILE = "locustfile.py"
_SHARED = {
    "host": "host", "num_users": "users", "spawn_rate": "spawn_rate", "run_time": "run_time", "processes": "workers"
}  # fmt: skip


def _locustfile(arguments: list[str]) -> str:
    """Return the locustfile of LOCUST_LOCUSTFILE or a configuration file, or the one in this folder."""
    named: Any = parse_locustfile_option(arguments)
    is_there = named.locustfile != _LOCUSTFILE or Path(_LOCUSTFILE).exists()
    return str(named.locustfile) if is_there else str(Config.model_fields["scenario"].default)


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"an option of Locust is wrong: {message}. Next: correct it; `locust --help` explains each.")


def _settings(arguments: list[str], scenario: scenarios.Scenario) -> tuple[dict[str, Any], list[str], list[str]]:
    """Parse Locust's options; return our settings by name, the unknown options, and all known ones.

    Raises:
        UsageError: a value is wrong, or a User class does not exist.
    """
    parser = get_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    options, unknown = parser.parse_known_args(arguments)
    there = [kind.__name__ for kind in scenario.user_classes]
    unknown = [word for word in unknown if word.startswith("-")]
    for name in () if unknown else options.user_classes:
        if name not in there:
            raise UsageError(unknown_name("User class", name, there))
    found = {ours: value for theirs, ours in _SHARED.items() if (value := getattr(options, theirs)) is not None}
    if options.autostart and not options.headless:
        found |= {"autostart": True, "ui": True}
    if found.get("workers") == -1:
        found["workers"] = os.cpu_count()
    known = [option for action in parser._actions for option in action.option_strings]
    return found, unknown, known


if __name__ == "__main__":
    answer = os.dup(1)
    os.dup2(2, 1)  # an imported file may print anything, even from outside Python
    try:
        name = sys.argv[1] or _locustfile(sys.argv[2:])
        scenario = scenarios.load(name)
        found = (
            scenario.requests, scenario.hosts, scenario.loads_only_redis, scenario.needs_redis,
            scenario.takes_sample_target, speaking_http(scenario.user_classes),
        )  # fmt: skip
        with os.fdopen(answer, "w") as output:
            json.dump([name, *found, *_settings(sys.argv[2:], scenario)], output)
    except UsageError as error:
        sys.stderr.write(str(error))
        sys.exit(error.exit_code)

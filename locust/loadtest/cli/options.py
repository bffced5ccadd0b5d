"""The options that set a setting: the same name, words and short form in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from loadtest.settings.config import Config, allowed

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODES: Final = """\b
Exit codes: 0 passed, 1 the run could not be carried out, 2 wrong usage,
3 a threshold failed, 4 no data, 5 not trustworthy, 130 interrupted."""

_METAVARS: Final = {
    "scenario": "NAME",
    "profile": "NAME",
    "workers": "N",
    "users": "N",
    "spawn_rate": "PER_S",
    "rate": "PER_S",
    "run_time": "DURATION",
    "warm_up": "DURATION",
    "profiles_file": "FILE",
    "threshold": "RULE",
    "thresholds_file": "FILE",
    "workload_file": "FILE",
    "slo": "RULES",
    "host": "URL",
    "redis_url": "URL",
    "feed": "FILE|URL",
    "feed_policy": "POLICY",
    "accounts_file": "FILE",
    "token_file": "FILE",
    "client": "NAME",
    "trace_sample": "RATIO",
    "run_id": "NAME",
    "baseline": "RUN",
    "web_port": "PORT",
}
_FLAGS: Final = frozenset({"fast", "keep_data", "ui", "until_decided"})
_REQUIRED: Final = frozenset({"slo"})
_REPEATED: Final = {"scenario": ",", "threshold": ", "}
"""Options that may be given several times, with the separator of their values in the setting."""
_AS_IN_LOCUST: Final = {
    "scenario": ("-f", "--locustfile"),
    "users": ("-u",),
    "spawn_rate": ("-r",),
    "run_time": ("-t",),
    "host": ("-H",),
    "web_port": ("-P",),
}
OF_A_RUN: Final = (
    *("scenario", "profile", "workers", "users", "spawn_rate", "rate", "run_time", "warm_up", "profiles_file"),
    *("threshold", "thresholds_file", "workload_file", "host", "redis_url", "feed", "feed_policy"),
    *("accounts_file", "token_file"),
    *("fast", "trace_sample", "run_id", "baseline"),
)
"""The settings of a run, local or on a cluster."""


def setting_options(*names: str) -> Callable[[Any], Any]:
    """Return a decorator that gives a command an option for each of these settings, in this order."""

    def decorate(command: Any) -> Any:
        for name in reversed(names):
            command = _option(name)(command)
        return command

    return decorate


def _option(setting: str) -> Callable[[Any], Any]:
    text = f"{Config.model_fields[setting].description}."
    if setting not in _FLAGS:
        text += f" Allowed: {allowed(setting)}."
    more: dict[str, Any] = {"help": text[0].upper() + text[1:], "required": setting in _REQUIRED}
    if setting in _FLAGS:
        more |= {"is_flag": True, "default": None}
    else:
        more["metavar"] = _METAVARS[setting]
    if setting in _REPEATED:
        more |= {"multiple": True, "callback": _joined}
    return click.option(setting, *_AS_IN_LOCUST.get(setting, ()), f"--{setting.replace('_', '-')}", **more)


def _joined(_ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str | None:
    return _REPEATED[str(option.name)].join(values) or None

"""Thresholds: where a run's rules come from.

They come from a TOML file (`thresholds = ["rule", …]`, by default local_conf/thresholds.toml, see THRESHOLDS_FILE) and
from THRESHOLD, which adds to them. Their language is defined in `loadtest.judging.threshold_parser`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError, nearest_name
from loadtest.judging.threshold_parser import parse, split
from loadtest.measuring.labels import LOAD, SETUP
from loadtest.settings.shipped import own_or_shipped
from loadtest.settings.toml_file import TomlFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loadtest.judging.threshold import Threshold
    from loadtest.settings.config import Config

_KEY = "thresholds"
_SETTING = "THRESHOLD"
_OBJECTIVE = "SLO"


Requests = Sequence[tuple[str, str]]
"""The requests that a scenario declares: pairs of method and name."""


def of(config: Config, requests: Callable[[], Requests] | None = None) -> tuple[Threshold, ...]:
    """Return the thresholds of a run, those of the file first.

    Args:
        config: its `thresholds_file`, `threshold` and `scenario`. A rule of the file about another scenario is left
            out, so that one file can serve several scenarios.
        requests: returns the requests that the scenario declares, to check the names in selectors; called only if a
            rule has such a name. None to check no names.

    Raises:
        UsageError: with every invalid rule, and every name that the scenario does not declare.
    """
    problems: list[str] = []
    return _rules(config, _texts(config, problems), requests, problems)


def others(config: Config) -> tuple[str, ...]:
    """Return the scenarios that rules in the thresholds file are about but that do not run; those rules are ignored."""
    rules = [rule for text, where in _texts(config, []) if where != _SETTING for rule in parse(text, where)]
    named = {dict(rule.selector).get("scenario", config.scenario_name) for rule in rules}
    return tuple(sorted(named - {config.scenario_name}))


def objective(config: Config, requests: Callable[[], Requests] | None = None) -> tuple[Threshold, ...]:
    """Return the rules of the service-level objective, the setting SLO; none if it is not set.

    Raises:
        UsageError: as for `of`.
    """
    return _rules(config, ((text, _OBJECTIVE) for text in split(config.slo or "") if config.slo), requests, [])


def _rules(
    config: Config, texts: Iterable[tuple[str, str]], requests: Callable[[], Requests] | None, problems: list[str]
) -> tuple[Threshold, ...]:
    """Parse rules, given with their places, and check their names.

    Raises:
        UsageError: with every problem, including those in `problems` already.
    """
    scenario = config.scenario_name
    rules: list[Threshold] = []
    for text, where in texts:
        try:
            (rule,) = parse(text, where)
        except UsageError as error:
            problems.append(str(error))
            continue
        if where not in (_SETTING, _OBJECTIVE) and not rule.selects(scenario=scenario):
            continue
        if config.warm_up_s and not rule.warm_up_s and not rule.is_of_setup and where != _OBJECTIVE:
            rule = replace(rule, warm_up_s=config.warm_up_s)
        rules.append(rule)
        is_of_requests = rule.phase in {LOAD, SETUP}
        if requests is not None and is_of_requests and any(pair != ("scenario", scenario) for pair in rule.selector):
            problems += _undeclared(rule, scenario, requests(), where) if requests() else []
    if problems:
        raise UsageError("\n".join(problems))
    return tuple(dict.fromkeys(rules))


def _texts(config: Config, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the text and the place of each rule; append problems with the file to `problems`."""
    try:
        toml = TomlFile(own_or_shipped(config.thresholds_file), "thresholds file")
    except UsageError as error:
        problems.append(str(error))
    else:
        yield from _texts_of(toml, problems)
    for text in split(config.threshold) if config.threshold else ():
        yield text, _SETTING


def _texts_of(toml: TomlFile, problems: list[str]) -> Iterator[tuple[str, str]]:
    problems += [
        f"{toml.where((key,))}: {key} is not a key of this file. Allowed: {_KEY}. Next: correct its name, or remove it."
        for key in toml.tables
        if key != _KEY
    ]
    texts = toml.tables.get(_KEY, [])
    if not isinstance(texts, list):
        problems.append(f"{toml.where((_KEY,))}: {_KEY} = {texts!r}. Allowed: a list of rules. Next: put it in [].")
        return
    for index, text in enumerate(texts):
        where = toml.where((_KEY, index))
        if isinstance(text, str):
            yield from ((part, where) for part in split(text))
        else:
            problems.append(
                f"{where}: {text!r} is not a rule. Allowed: a string. Next: write 'p99(response_time) < 50ms'."
            )


def _undeclared(rule: Threshold, scenario: str, requests: Requests, where: str) -> list[str]:
    """Return a line, with the closest match, for each name in the rule's selector that the scenario lacks."""
    declared = {
        "scenario": [scenario],
        "method": sorted({method for method, _ in requests}),
        "name": sorted({name for _, name in requests}),
    }
    problems = []
    for label, value in rule.selector:
        if value not in declared.get(label, (value,)):
            nearest = nearest_name(value, declared[label])
            advice = f"did you mean {nearest}?" if nearest else "use one of them."
            problems.append(
                f"{where}: {rule.condition!r}: the scenario {scenario} has no {label} {value!r}. "
                f"Allowed: {', '.join(declared[label])}. Next: {advice}"
            )
    chosen = dict(rule.selector)
    if problems or not {"method", "name"} <= chosen.keys():
        return problems
    if not any(rule.selects(method=method, name=name) for method, name in requests):
        methods = [method for method, name in requests if name == chosen["name"]]
        problems.append(
            f"{where}: {rule.condition!r}: {chosen['name']!r} is not requested by method {chosen['method']!r}. "
            f"Allowed: {', '.join(methods)}. Next: correct the method, or leave it out."
        )
    return problems

"""Thresholds: where the rules of a run come from.

They come from a TOML file (`thresholds = ["rule", …]`, local_conf/thresholds.toml unless THRESHOLDS_FILE says
otherwise) and from THRESHOLD, which adds to them. Their language is `loadtest.threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.exceptions import UsageError, nearest_name
from loadtest.threshold import Threshold, parse
from loadtest.toml_file import TomlFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from loadtest.config import Config
    from loadtest.scenarios import Scenario

_KEY = "thresholds"


def of(config: Config, scenario: Scenario | None = None) -> tuple[Threshold, ...]:
    """Return the rules of a run, those of the file first.

    Args:
        config: its `thresholds_file` and `threshold`.
        scenario: what is going to run, to check the names in selectors; None checks none. A rule of the file that is
            about another scenario is left out, so that one file can serve several.

    Raises:
        UsageError: with every wrong rule, and every name that the scenario does not declare.
    """
    problems: list[str] = []
    rules: list[Threshold] = []
    try:
        rules += _from_file(config.thresholds_file, scenario)
    except UsageError as error:
        problems.append(str(error))
    try:
        rules += _from_setting(config.threshold, scenario)
    except UsageError as error:
        problems.append(str(error))
    _refuse(problems)
    return tuple(dict.fromkeys(rules))


def _from_setting(text: str | None, scenario: Scenario | None) -> list[Threshold]:
    rules = parse(text, "THRESHOLD") if text else []
    if scenario is not None:
        _refuse([problem for rule in rules for problem in undeclared(rule, scenario, "THRESHOLD")])
    return rules


def _from_file(file: Path, scenario: Scenario | None) -> list[Threshold]:
    """Read `thresholds = ["rule", …]`.

    Raises:
        UsageError: naming file and line of each wrong rule.
    """
    toml = TomlFile(file, "thresholds file")
    problems = [
        f"{toml.where((key,))}: {key} is not a key of this file. Allowed: {_KEY}. Next: correct its name, or remove it."
        for key in toml.tables
        if key != _KEY
    ]
    texts = toml.tables.get(_KEY, [])
    if not isinstance(texts, list):
        problems.append(f'{toml.where((_KEY,))}: {_KEY} = {texts!r}. Allowed: a list of rules. Next: write ["…"].')
        texts = []
    rules: list[Threshold] = []
    for index, text in enumerate(texts):
        where = toml.where((_KEY, index))
        try:
            rules += _checked(text, where, scenario)
        except UsageError as error:
            problems.append(str(error))
    _refuse(problems)
    return rules


def _checked(text: object, where: str, scenario: Scenario | None) -> list[Threshold]:
    if not isinstance(text, str):
        raise UsageError(f"{where}: {text!r} is no rule. Allowed: a text. Next: write 'p99(response_time) < 50ms'.")
    rules = parse(text, where)
    if scenario is None:
        return rules
    rules = [rule for rule in rules if rule.selects(scenario=scenario.name)]
    _refuse([problem for rule in rules for problem in undeclared(rule, scenario, where)])
    return rules


def undeclared(rule: Threshold, scenario: Scenario, where: str) -> list[str]:
    """Return a line for each name of the rule's selector that the scenario does not declare, with the nearest one."""
    declared = {
        "scenario": [scenario.name],
        "method": sorted({method for method, _ in scenario.requests}),
        "name": sorted({name for _, name in scenario.requests}),
    }
    problems = []
    for label, value in rule.selector:
        if value not in declared[label]:
            nearest = nearest_name(value, declared[label]) or next(iter(declared[label]), None)
            problems.append(
                f"{where}: {rule.condition!r}: the scenario {scenario.name} has no {label} {value!r}. "
                f"Allowed: {', '.join(declared[label])}. Next: did you mean {nearest}?"
            )
    chosen = dict(rule.selector)
    if problems or not {"method", "name"} <= chosen.keys():
        return problems
    if not any(rule.selects(method=method, name=name) for method, name in scenario.requests):
        methods = [method for method, name in scenario.requests if name == chosen["name"]]
        problems.append(
            f"{where}: {rule.condition!r}: {chosen['name']!r} is not requested by method {chosen['method']!r}. "
            f"Allowed: {', '.join(methods)}. Next: correct the method, or leave it out."
        )
    return problems


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise UsageError("\n".join(problems))


@dataclass(frozen=True)
class Line:
    """A limit as a line on a graph, in the graph's unit (seconds, a ratio, per second)."""

    rule: str
    metric: str
    aggregate: str
    labels: tuple[tuple[str, str], ...]
    limit: float


def lines(rules: Iterable[Threshold]) -> list[Line]:
    """Return a line for each rule that a graph over time can show: all but those about a number of requests."""
    return [
        Line(rule.condition, rule.metric, rule.aggregate, rule.selector, rule.limit)
        for rule in rules
        if rule.kind != "count"
    ]

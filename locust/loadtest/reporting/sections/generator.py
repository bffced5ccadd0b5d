"""Generator: the sections with the health of the load generator, and with the environment of the run.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.judging.generator_health import PEAKS, SUSTAINED
from loadtest.reporting import page
from loadtest.reporting.document import service_version
from loadtest.reporting.page import section, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.judging.generator_health import HealthRule
    from loadtest.reporting.document import Document

_HEALTH: Final = {**SUSTAINED, **PEAKS}


def html(document: Document) -> str:
    """Return the health of the generator's processes, and how complete the record is."""
    processes = document["workers"]
    rows = [_health_row(key, rule, processes) for key, rule in _HEALTH.items() if processes]
    heads = ("check", "limit", "highest", "in")
    delivery = document["delivery"]
    sentences = [f"The record holds {delivery['completeness']:.2%} of the workers' measurements."]
    sentences += [_on_its_machine(one) for one in document["workers"] if one["mean"].get("machine_cpu_ratio")]
    notes = "".join(f"<p class='quiet'>{text(sentence)}</p>" for sentence in sentences)
    hint = "the highest value of any second, and the limit at which a run is not trustworthy"
    body = page.table("Generator health", heads, rows) + _processes(processes) + notes
    return section("generator", "Generator", body, hint)


def _health_row(key: str, rule: HealthRule, processes: Sequence[dict[str, Any]]) -> str:
    """Return the highest value of all processes, and which process had it."""
    worst = max(processes, key=lambda one: one["highest"].get(key, 0.0))
    return (
        f"<tr><th scope='row'>{_words_of(rule)}</th><td class='n'>{text(_share(key, rule.limit))}</td>"
        f"{_health_cell(key, rule.limit, worst['highest'].get(key, 0.0))}<td>{text(worst['subject'])}</td></tr>"
    )


def _processes(processes: Sequence[dict[str, Any]]) -> str:
    """Return the health of each process, folded: with many processes the table is long."""
    rows = [
        f"<tr><th scope='row'>{text(one['subject'])}</th>"
        + "".join(_health_cell(key, rule.limit, one["highest"].get(key, 0.0)) for key, rule in _HEALTH.items())
        + "</tr>"
        for one in processes
    ]
    table = page.table("Health of each process", ("process", *map(_words_of, _HEALTH.values())), rows)
    return f"<details><summary>Each process</summary>{table}</details>" if rows else ""


def _words_of(rule: HealthRule) -> str:
    return rule.name.replace("_", " ")


def _on_its_machine(process: dict[str, Any]) -> str:
    mean = process["mean"]
    others = f", {mean['others_cpu_ratio']:.0%} by other processes" if mean.get("others_cpu_ratio") else ""
    delay_ms = 1000 * mean["run_delay_ratio"] / mean["turns_per_s"] if mean["turns_per_s"] else 0.0
    return (
        f"{process['subject']}: its machine's cores were {mean['machine_cpu_ratio']:.0%} busy{others}; processes "
        f"waited for a core {mean['pressure_ratio']:.0%} of the time, this one {delay_ms:.2f} ms per time slice."
    )


def _health_cell(key: str, limit: float, value: float) -> str:
    shown = text(_share(key, value))
    inner = f"<span class='tag doubt'>{shown}</span>" if value >= limit else shown
    return f"<td class='n'>{inner}</td>"


def _share(key: str, value: float) -> str:
    if key.endswith("_ratio"):
        return f"{value:.0%}"
    return f"{value:.0f}/s" if key.endswith("_per_s") else f"{value * 1e3:.0f} ms"


def made_with(document: Document) -> str:
    """Return the host, the scenario, the configuration and the versions; the latter two are folded."""
    context = document["context"]
    host = dict(context.get("host") or {})
    if host.get("memory_bytes"):
        host["memory"] = f"{host.pop('memory_bytes') / 2**30:.1f} GiB"
    source = context.get("source") or {"commit": "not in a git repository"}
    configuration = {name: value for name, value in document["configuration"].items() if value not in {None, ""}}
    version = service_version(document)
    facts = (("Host", host), ("Scenario", source), *([("Service", {"version": version})] if version else []))
    shown = "".join(page.facts(title, values) for title, values in facts)
    folded = "".join(
        f"<details><summary>{title}</summary><div class='facts'>{page.facts(title, values)}</div></details>"
        for title, values in (("Configuration", configuration), ("Versions", context.get("versions") or {}))
    )
    return section("made-with", "Environment", f"<div class='facts'>{shown}</div>{folded}")

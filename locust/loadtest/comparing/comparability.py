"""Comparability: whether two runs may be compared. Only the system under test should differ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from loadtest.exceptions import UsageError
from loadtest.judging.generator_health import CROWDED_RATIO
from loadtest.judging.outcome import MEASURED
from loadtest.measuring.health import MASTER, OTHERS
from loadtest.measuring.labels import OTHER
from loadtest.measuring.record import DECIDED, RATE, USERS
from loadtest.reporting.document import load_s
from loadtest.settings.scenario_files import name_of_scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.reporting.document import Document

SETTINGS: Final = ("scenario", "profile", "users", "spawn_rate", "rate", "run_time", "client")
"""The settings that must be the same in both runs."""
_LENGTH_RATIO: Final = 1.1
MIN_EXPECTED: Final = 20
"""The expected number of requests from which on their absence is not chance. Expected is the name's share of one run's
requests, times the other run's requests; the probability that none of n expected ones occurs is exp(-n)."""
_MAX_NAMED: Final = 5
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def check(base: Document, new: Document, *, force: bool = False) -> list[str]:
    """Return notes for people about two runs, in addition to their figures.

    Args:
        base: the older run.
        new: the newer run.
        force: return the obstacles as notes instead of raising.

    Raises:
        UsageError: when the runs cannot be compared and `force` is not set.
    """
    around, notes = surroundings(base, new)
    problems = _problems(base, new) + around
    if problems and not force:
        reasons = "; ".join(problems)
        raise UsageError(
            f"{base['run_id']} and {new['run_id']} cannot be compared: {reasons}. Allowed: two trustworthy runs of the "
            "same scenario under the same load. Next: repeat a run with the settings of the other; if other work runs "
            "too, load both versions at once with `loadtest duet`; or use --force."
        )
    return [f"not comparable: {problem}" for problem in problems] + notes


def check_settings(base: Document, configuration: Mapping[str, Any]) -> None:
    """Check, before a run, that its future base was measured properly, and has settings that match its own.

    Args:
        base: the older run.
        configuration: the settings of the run to come.

    Raises:
        UsageError: when the base was not, or its settings do not match.
    """
    if problems := _settings(base["configuration"], configuration) + _not_measured(base):
        raise UsageError(
            f"a run with these settings cannot be compared with {base['run_id']}: {'; '.join(problems)}. Allowed: a "
            "trustworthy baseline of the same scenario under the same load. Next: choose another baseline, use its "
            "settings, or load both versions at once with `loadtest duet`."
        )


def obstacles(base: Document, document: Document) -> list[str]:
    """Return what prevents a comparison of a run in progress with its baseline, whatever it measures.

    Args:
        base: the baseline, against which the run's settings have been checked.
        document: the document of the run so far.
    """
    changed = [f"somebody changed the load of {document['run_id']}"] if _changed(document) else []
    unfit = [f"it is {document['verdict']['name']} so far"] if _not_measured(document) else []
    reasons = document["verdict"]["reasons"] if unfit else []
    return [*changed, *unfit, *reasons, *_missing_names(base, document), *surroundings(base, document)[0]]


def crowded(document: Document) -> list[str]:
    """Name the generator's machines on which other processes crowded out a run: they would be measured, too.

    A run whose verdict covers this needs no such check; a capacity search judges only its steps.
    """
    return [
        f"other processes crowded the machine of {one['subject']} for {ratio:.0%} of {document['run_id']}"
        for one in document["workers"]
        if (ratio := one["mean"].get("crowded_ratio", 0.0)) >= CROWDED_RATIO
    ]


def surroundings(base: Document, new: Document) -> tuple[list[str], list[str]]:
    """Return the obstacles to comparing two runs that lie in their surroundings, and notes for people."""
    imitations = [bool(document["context"].get("imitation")) for document in (base, new)]
    found = []
    if imitations[0] is not imitations[1]:
        imitated = base if imitations[0] else new
        found.append(f"in {imitated['run_id']} an imitation of Redis answered, in the other a real Redis did")
    others = [_others(document) for document in (base, new)]
    if None not in others and abs(others[0] - others[1]) >= OTHERS:
        found.append(
            f"other processes took {others[0]:.0%} of the generator's cores in one run and {others[1]:.0%} in the other"
        )
    return found, _notes(base, new)


def _not_measured(*documents: Document) -> list[str]:
    verdicts = ((document["run_id"], document["verdict"]["name"]) for document in documents)
    return [f"{run} is {verdict}" for run, verdict in verdicts if verdict not in MEASURED]


def _settings(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    def shown(value: Any) -> Any:
        return "not set" if value is None else value

    return [
        f"{name} is {shown(base.get(name))} in one run and {shown(new.get(name))} in the other"
        for name in SETTINGS
        if _identity(name, base) != _identity(name, new)
    ]


def _identity(name: str, configuration: Mapping[str, Any]) -> Any:
    """Return the part of a setting that must be the same. A scenario's file may be formatted and placed differently."""
    value = configuration.get(name)
    return name_of_scenario(value) if name == "scenario" and value else value


def conditions(document: Document) -> dict[str, Any]:
    """Return what must be equal in all runs of a history: settings, stages, machine, and a non-local host."""
    configuration, host = document["configuration"], document["context"].get("host") or {}
    hosts = (document["context"].get("target") or {}).get("hosts", [])
    return {
        **{name: _identity(name, configuration) for name in SETTINGS},
        "workers": configuration.get("workers"),
        "plan": _load_of(document),
        "cpu": host.get("cpu"),
        "usable_cores": host.get("usable_cores"),
        "hosts": [one for one in hosts if not _is_local(one)],
        "imitation": bool(document["context"].get("imitation")),
        **({"changed": changed} if (changed := _changed(document)) else {}),
    }


def _problems(base: Document, new: Document) -> list[str]:
    found = _settings(base["configuration"], new["configuration"])
    found += [f"somebody changed the load of {one['run_id']} while it ran" for one in (base, new) if _changed(one)]
    plans = [_load_of(document) for document in (base, new)]
    if not found and None not in plans and plans[0] != plans[1]:
        found.append("the stages of the load profile differ")
    found += _not_measured(base, new)
    lengths = [load_s(document) for document in (base, new)]
    if _ended_early(new):
        lengths[0] = min(lengths)
    if min(lengths) * _LENGTH_RATIO < max(lengths):
        found.append(f"one run has {lengths[0]:.0f} s of load, the other {lengths[1]:.0f} s")
    return found + (_missing_names(base, new) if not found else [])


def _missing_names(base: Document, new: Document) -> list[str]:
    """Name the requests that one run made often and the other never: those left are not the same load."""
    found = []
    for one, other in ((base, new), (new, base)):
        requests, of_other = _requests(one), _requests(other)
        scale = sum(of_other.values()) / max(1, sum(requests.values()))
        if any(name == OTHER for _, name in of_other):
            continue  # too many names to be kept apart: what is missing may be among them
        missing = {name: count for name, count in requests.items() if not of_other[name]}
        found += [
            f"{one['run_id']} made {count:,} requests {' '.join(name)}, and {other['run_id']} none"
            for name, count in missing.items()
            if count * scale >= MIN_EXPECTED
        ]
    return [*found[:_MAX_NAMED], f"and {len(found) - _MAX_NAMED} more"] if len(found) > _MAX_NAMED else found


def _requests(document: Document) -> Counter[tuple[str, str]]:
    """Count the requests of each method and name."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in document["series"]:
        counts[row["method"], row["name"]] += row["requests"]
    return counts


def _ended_early(document: Document) -> bool:
    """Return whether a run ended early because its answer was known."""
    return any(event["kind"] == DECIDED for event in document["events"])


def _changed(document: Document) -> list[list[Any]]:
    """Return when and how a person changed the load; no other run has the same changes."""
    return [[event["second"], event["text"]] for event in document["events"] if event["kind"] in {USERS, RATE}]


def _others(document: Document) -> Any:
    """Return the share of the master's cores, 0 to 1, used by processes outside the run; None if not measured."""
    return next((one["mean"].get("others_cpu_ratio") for one in document["workers"] if one["subject"] == MASTER), None)


def _load_of(document: Document) -> dict[str, Any] | None:
    plan = document["context"].get("plan")
    return {name: value for name, value in plan.items() if name not in {"levels", "description"}} if plan else None


def _notes(base: Document, new: Document) -> list[str]:
    notes = []
    hosts = [document["context"].get("host") or {} for document in (base, new)]
    for name, what in (("cpu", "processors"), ("usable_cores", "numbers of cores"), ("kernel", "kernels")):
        values = [host.get(name) for host in hosts]
        if values[0] != values[1]:
            notes.append(f"the runs used different {what}: {values[0]} and {values[1]}")
    targets = [(document["context"].get("target") or {}).get("hosts", []) for document in (base, new)]
    if targets[0] != targets[1] and not all(_is_local(host) for hosts in targets for host in hosts):
        texts = " and ".join(", ".join(hosts) or "no host" for hosts in targets)
        notes.append(f"the runs loaded different hosts: {texts}")
    workers = [document["configuration"].get("workers") for document in (base, new)]
    if workers[0] != workers[1]:
        notes.append(f"the runs used different numbers of workers: {workers[0]} and {workers[1]}")
    return notes


def _is_local(host: str) -> bool:
    return urlsplit(host).hostname in _LOOPBACK

"""Text: a comparison in words and on the terminal. Its page uses the same words.

Tested in tests/unit/comparing/test_comparison.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.text import Text

from loadtest.comparing.difference import ERROR_MARGIN_SHARE, Conclusion, Difference
from loadtest.comparing.outlook import METRICS as METRICS_OF_OUTLOOK
from loadtest.estimating.blocked_run import ALL
from loadtest.estimating.intervals import CONFIDENCE
from loadtest.estimating.resampling import PAIRS, QUANTILES
from loadtest.progress import milliseconds, one_line
from loadtest.reporting.console_table import ConsoleTable, print_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from loadtest.comparing.changes import ChangedRun, History
    from loadtest.comparing.comparison import Comparison
    from loadtest.comparing.outlook import Outlook, Precision
    from loadtest.estimating.blocked_run import Name

HEADINGS: Final = {
    "throughput": "throughput", "error_ratio": "errors", "p50": "p50", "p95": "p95", "p99": "p99", PAIRS: "by pairs"
}  # fmt: skip
SENTENCES: Final = {
    Conclusion.WORSE: "Worse: at least one request got worse by the margin or more.",
    Conclusion.BETTER: "Better: at least one request got better by the margin or more, and none got worse.",
    Conclusion.SAME: "The same: every difference is within the margin.",
    Conclusion.INCONCLUSIVE: "Inconclusive: nothing is known to be worse, but there were too few requests or too much "
    "noise to tell.",
}
UNPAIRED: Final = "one version got requests that the other never got"
"""How the reason begins why the times of a duet whose sides did not send the same requests are inconclusive."""
_DUET: Final = (
    "load both versions at the same time, so that other work affects both equally: `loadtest duet BASE_URL NEW_URL`, "
    "or for the sample target `make duet BASE=REF`"
)
_LONGEST_S: Final = 3600.0
"""The longest run that is recommended, in seconds."""
_LARGEST_SHOWN: Final = 10.0
"""The largest relative change that is reported as detectable with its size."""
_DAY_S: Final = 86_400.0
"""The longest run whose length is reported, in seconds."""
MAX_CLEAR: Final = 10
"""The maximum number of differences that are reported in a sentence each; the table has all of them."""
MAX_CHANGES: Final = 5
"""The maximum number of figures that are shown for the changes at one run."""
_STYLES: Final = {
    Conclusion.WORSE: "bold red",
    Conclusion.BETTER: "bold green",
    Conclusion.SAME: "",
    Conclusion.INCONCLUSIVE: "dim",
}
_MARKS: Final = {
    Conclusion.WORSE: "✗",
    Conclusion.BETTER: "✓",
    Conclusion.SAME: "=",
    Conclusion.INCONCLUSIVE: "?",
}


def show(comparison: Comparison, console: Console) -> None:
    """Print a row for each request name with a conclusion, a line for each clear difference, and the conclusion."""
    metrics = dict.fromkeys(one.metric for name in comparison.names for one in name.differences)
    heads = tuple(HEADINGS[metric] for metric in metrics)
    table = ConsoleTable(f"{comparison.base} → {comparison.new}", ("request",), heads)
    for name in comparison.shown:
        cells = [Text(_cell(one), style=_STYLES[one.conclusion]) for one in name.differences]
        table.add_row((label(name.name),), cells)
    console.print(table)
    found = clear(comparison)
    for name_of, difference in found[:MAX_CLEAR]:
        console.print(Text(one_line(sentence(name_of, difference)), style=_STYLES[difference.conclusion]))
    if rest := not_listed(found):
        console.print(Text(rest, style="dim"))
    for note in comparison.notes:
        print_line(console, "note", note)
    if line := undecided(comparison):
        print_line(console, "undecided", line)
    print_line(console, "precision", precision(comparison))
    print_line(console, "marks", "✗ worse, ✓ better, = the same, ? inconclusive: too few requests or too much noise")
    print_line(console, "method", method(comparison))
    print_line(console, "comparison", comparison.conclusion.value)
    if line := next_step(comparison):
        print_line(console, "next", line)


def undecided(comparison: Comparison) -> str:
    """Return how many requests are inconclusive, why, and how long runs would have to be; empty if none is."""
    names = comparison.undecided
    if not names:
        return ""
    reasons = Counter(kind for name in names for kind in dict.fromkeys(map(_kind, name.reasons)))
    causes = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    lengths = sorted(name.decided_after_s for name in names if name.decided_after_s is not None)
    text = f"{len(names)} of {len(comparison.names) - 1} requests: {causes}"
    if not lengths:
        return f"{text}; longer runs would not decide them"
    if lengths[-1] > _DAY_S:
        sensible = [length for length in lengths if length <= _DAY_S]
        some = (
            f"runs of about {duration(sensible[-1])} each would decide {len(sensible)}, the others" if sensible else ""
        )
        return f"{text}; {some or 'they'} would take more than a day: raise the load, or give rare requests one name"
    half, longest = duration(lengths[(len(lengths) - 1) // 2]), duration(lengths[-1])
    times = f"{longest} each" if half == longest else f"{half} each would decide half of them, {longest}"
    return f"{text}; runs of about {times} would decide {len(lengths) if len(lengths) < len(names) else 'all'}"


def next_step(comparison: Comparison) -> str:
    """Return how to get from an inconclusive comparison to a conclusion; empty if it has one."""
    if comparison.conclusion is not Conclusion.INCONCLUSIVE:
        return ""
    by_pairs = [one for name in comparison.names for one in name.differences if one.metric == PAIRS]
    whole = next((name.differences for name in comparison.names if name.name == ALL), ())
    longer = _longest([one for one in whole if one.metric in QUANTILES])
    if not by_pairs:
        runs = f"; or make two runs of about {longer} each, to decide all requests together" if longer else ""
        return f"{_DUET}{runs}"
    open_ = [one for one in by_pairs if one.conclusion is Conclusion.INCONCLUSIVE]
    if not open_:
        decides = f"about {longer} decide those of all requests together, and " if longer else ""
        return (
            "the figures by pairs are decided; for the percentiles run longer (--run-time): "
            f"{decides}four times as long finds changes half as large"
        )
    if any(one.reason.startswith(UNPAIRED) for one in open_):
        return (
            "have both versions get the same requests: check what the scenario follows in the responses, take random "
            "numbers from the module random, and give requests with varying paths one name=…"
        )
    if longer := _longest(open_):
        return f"run for about {longer} (--run-time), to decide the figure by pairs of each request"
    return "stop other work on this machine, or give both versions more CPU time, and repeat the duet"


def _longest(differences: Sequence[Difference]) -> str:
    """Return the length of both runs that would decide these figures; empty if it is unreasonably long."""
    lengths = [one.decided_after_s for one in differences if one.conclusion is Conclusion.INCONCLUSIVE]
    known = [length for length in lengths if length is not None]
    if not known or len(known) < len(lengths) or max(known) > _LONGEST_S:
        return ""
    return duration(max(known))


def _kind(reason: str) -> str:
    """Return a reason without the numbers that vary between names."""
    return "too few requests" if reason.startswith("needs ") else reason.partition(":")[0]


def duration(seconds: float) -> str:
    """Return a duration in the unit that fits it best."""
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _cell(difference: Difference) -> str:
    return f"{change(difference, difference.change).removesuffix(' points')} {_MARKS[difference.conclusion]}"


def label(name: Name) -> str:
    """Return a request name with its method."""
    return f"{name.method} {name.name}".strip()


def value(difference: Difference, figure: float | None) -> str:
    """Return a figure in the unit of its metric."""
    if figure is None:
        return "-"
    if difference.metric == "throughput":
        return f"{figure:,.1f}/s"
    if difference.metric == "error_ratio":
        return f"{figure:.2%}"
    return f"{milliseconds(figure)} ms"


def change(difference: Difference, figure: float | None) -> str:
    """Return a change: relative, or in percentage points."""
    if figure is None:
        return "-"
    return f"{100 * figure:+.2f} points" if difference.metric == "error_ratio" else f"{figure:+.1%}"


def interval(difference: Difference) -> str:
    """Return the interval of the change; empty without one."""
    if difference.low is None or difference.high is None:
        return ""
    low, high = (change(difference, one) for one in (difference.low, difference.high))
    return f"{low.removesuffix(' points')} to {high}"


def sentence(name: Name, difference: Difference) -> str:
    """Return one difference in a line."""
    both = f"{value(difference, difference.base)} → {value(difference, difference.new)}, "
    return (
        f"{label(name)}: {HEADINGS[difference.metric]} {difference.conclusion.value}, "
        f"{'' if difference.base is None else both}"  # pairs have a difference only
        f"{change(difference, difference.change)} ({interval(difference)})"
    )


def clear(comparison: Comparison) -> list[tuple[Name, Difference]]:
    """Return the differences that are worse or better: worse ones first, each kind in the order of names."""
    found = [
        (name.name, difference)
        for name in comparison.names
        for difference in name.differences
        if difference.conclusion in {Conclusion.WORSE, Conclusion.BETTER}
    ]
    return sorted(found, key=lambda one: one[1].conclusion is not Conclusion.WORSE)


def not_listed(found: Sequence[tuple[Name, Difference]]) -> str:
    """Return how many clear differences are listed only in the table; empty if all have a sentence."""
    return f"and {len(found) - MAX_CLEAR} more, in the table" if len(found) > MAX_CLEAR else ""


def method(comparison: Comparison) -> str:
    """Return a sentence about the method of the comparison."""
    base_s, new_s = comparison.segment_s
    points = comparison.margin * ERROR_MARGIN_SHARE * 100
    return (
        f"{comparison.tests} intervals, simultaneous at {CONFIDENCE:.0%} confidence; "
        f"margin {comparison.margin:.1%}, for error ratios {points:.2g} points; "
        f"resampled in segments of up to {base_s} s and {new_s} s"
    )


def precision(comparison: Comparison) -> str:
    """Return a sentence about the smallest changes, over all requests, that the comparison was certain to detect."""
    whole = next((name.differences for name in comparison.names if name.name == ALL), ())
    known = [f"{found_from(one)} ({HEADINGS[one.metric]})" for one in whole if one.found_from is not None]
    unknown = [HEADINGS[one.metric] for one in whole if one.found_from is None]
    if not known:
        return "no change would have been found: too few requests, or too short"
    text = f"of all requests, changes of {', '.join(known)} or more would have been found; smaller ones may be"
    return f"{text} inconclusive" + (f"; no change of {', '.join(unknown)} would have been found" if unknown else "")


def found_from(difference: Difference) -> str:
    """Return the smallest change that was certain to be detected: relative, or in percentage points."""
    if difference.found_from is None:
        return "-"
    if difference.metric != "error_ratio":
        return _size(difference.found_from)
    return change(difference, difference.found_from).removeprefix("+")


def _size(relative: float) -> str:
    """Return the size of a detectable relative change; for a very large one, only that it is large."""
    return f"over {_LARGEST_SHOWN:.0%}" if relative > _LARGEST_SHOWN else f"{relative:.1%}"


def _length(seconds: float) -> str:
    """Return the run length needed; if it is unreasonable, that it is more than a day."""
    return "over a day" if seconds > _DAY_S else duration(seconds)


def of_looks(share: float) -> str:
    """Return what a possible early end means for the intervals, given each look's share of the errors."""
    return f"the run could end at {1 / share:.0f} moments, which share the errors of the intervals"


def show_changes(histories: Sequence[History], console: Console) -> None:
    """Print the changes of each history, oldest first, changes for the worse before others."""
    for history in histories:
        console.print(Text(one_line(f"{history.key}: {of_history(history)}"), style="bold"))
        for one in history.changed:
            console.print(Text(one_line(f"  {between(one)}"), style="red" if one.is_worse else "green"))
            for name, difference in one.changes[:MAX_CHANGES]:
                console.print(Text(one_line(f"    {sentence(name, difference)}")))
            if rest := further(one):
                console.print(Text(f"    {rest}", style="dim"))


def of_history(history: History) -> str:
    """Return the number of runs and changes in a history, or why it cannot have any changes."""
    if not history.is_long_enough:
        return f"{len(history.runs)} runs; a change can be found in {history.needed} or more"
    return f"{len(history.runs)} runs, {len(history.changed) or 'no'} change{'s' * (len(history.changed) != 1)}"


def between(one: ChangedRun) -> str:
    """Return the runs and versions between which something changed."""
    versions = [
        f"{what} {_short(before)} → {_short(after)}"
        for what, before in one.before.versions.items()
        if before != (after := one.first.versions.get(what))
    ]
    return f"{one.before.run_id} → {one.first.run_id}" + (f" ({', '.join(versions)})" if versions else "")


def further(one: ChangedRun) -> str:
    """Return how many changes at a run are not shown; empty if all are."""
    return f"and {len(one.changes) - MAX_CHANGES} more" if len(one.changes) > MAX_CHANGES else ""


def _short(version: str | None) -> str:
    return "unknown" if version is None else version[:12]


def outlook_sentences(found: Outlook) -> list[str]:
    """Return sentences about the changes that a comparison over all requests will detect, or why none."""
    by_metric = found.names.get(ALL, {})
    times = {metric: one for metric, one in by_metric.items() if metric in QUANTILES}
    if not times:
        next_ = "Next: make a run of a minute or more, with at least 20 requests"
        return [f"a comparison with {found.run_id} will be inconclusive: too few requests, or too short. {next_}"]
    changes = ", ".join(f"{_size(one.found_from)} ({metric})" for metric, one in times.items())
    lengths = ", ".join(f"{metric} {_length(one.decided_after_s)}" for metric, one in times.items())
    found_in = f"of all requests, {duration(found.seconds)} will find changes of {changes} or more"
    return [
        f"{found_in}; smaller ones may be inconclusive",
        f"to find {found.found_once_decided:.1%}, and to show equal runs as the same, both runs need: {lengths}",
    ]


def show_outlook(found: Outlook, console: Console) -> None:
    """Print a row for each request name: the detectable change, and the run length that decides."""
    heads = tuple(HEADINGS[metric] for metric in METRICS_OF_OUTLOOK)
    table = ConsoleTable(f"{found.run_id}: changes that are found, and run lengths that decide", ("request",), heads)
    for name, by_metric in found.names.items():
        table.add_row((label(name),), [_precision(by_metric.get(metric)) for metric in METRICS_OF_OUTLOOK])
    if found.names:
        console.print(table)
    for one in outlook_sentences(found):
        print_line(console, "precision", one)


def _precision(one: Precision | None) -> str:
    return "-" if one is None else f"{_size(one.found_from)} {_length(one.decided_after_s)}"

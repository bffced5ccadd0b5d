"""Page: comparison.html, which shows two runs side by side, with a drawing of each interval; it has no scripts.

Tested in tests/native/test_report_page.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadtest.comparing import text as words
from loadtest.comparing.difference import ERROR_MARGIN_SHARE, Conclusion, Difference
from loadtest.estimating.resampling import PAIRS
from loadtest.reporting import page
from loadtest.reporting.document import target_sentence
from loadtest.reporting.page import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.comparing.comparison import Comparison, NameComparison
    from loadtest.reporting.document import Document

TONES: Final = {
    Conclusion.WORSE: "bad",
    Conclusion.BETTER: "good",
    Conclusion.SAME: "",
    Conclusion.INCONCLUSIVE: "doubt",
}
_HEADS: Final = ("figure", "verdict", "change", "", "base", "new", "min. detectable")
_NUMBERS: Final = (2, 4, 5, 6)
"""Which of them have numbers below them."""
_WIDTH: Final = 150
_HEIGHT: Final = 18
_REACH: Final = 4.0  # margins from the middle of a drawing to its edge
_EDGE: Final = 5.0


def html(comparison: Comparison, base: Document, new: Document, more: str = "") -> str:
    """Return the page.

    Args:
        comparison: the comparison of the two runs.
        base: the document of the older run.
        new: the document of the newer run.
        more: a further section, as HTML.
    """
    title = f"{comparison.base} and {comparison.new}"
    two = "two versions" if any(one.metric == PAIRS for one in comparison.names[0].differences) else "two runs"
    found = words.clear(comparison)
    sentences = [words.sentence(*one) for one in found[: words.MAX_CLEAR]] + [words.not_listed(found)]
    clear = "".join(f"<li>{text(one)}</li>" for one in sentences if one)
    notes = "".join(f"<li>{text(note)}</li>" for note in comparison.notes)
    tone, further = TONES[comparison.conclusion] or "good", words.next_step(comparison)
    body = f"""<header class="top"><div class="wrap"><h1>Comparison of {two}</h1>
<p class="when">{text(comparison.base)} → {text(comparison.new)}</p></div></header>
<main id="main" class="wrap">
<section class="verdict {tone}" aria-label="Verdict"><p>{text(words.SENTENCES[comparison.conclusion])}</p>
{f"<ul>{clear}</ul>" if clear else ""}{f"<p class='note'>Next: {text(further)}.</p>" if further else ""}</section>
{f"<section aria-label='Notes'><ul>{notes}</ul></section>" if notes else ""}
<section aria-labelledby="names-title"><h2 id="names-title">By request name
<small>{text(words.method(comparison))}</small></h2>
<p>{text(_upper(words.precision(comparison)))}.</p>{_names(comparison)}{_undecided(comparison)}</section>
{more}
<section aria-labelledby="runs-title"><h2 id="runs-title">The {two}</h2>
<div class="facts">{_facts("Base", base)}{_facts("New", new)}</div></section>
</main>
<footer><div class="wrap">In each drawing the band is the margin, the bar the interval, and the dot the difference
itself; an arrow points to values outside the drawing. Intervals come from resampling whole segments of each run, which
preserves autocorrelation; they hold simultaneously. <i>Min. detectable</i> is the smallest change that would have been
found in 95 of 100 such comparisons; a smaller one may be inconclusive.
</div></footer>"""
    return page.whole(title, body)


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _names(comparison: Comparison) -> str:
    rows = []
    for name in comparison.shown:
        title = f"<span>{_label(name)} {_tag(name.conclusion)}</span>"
        rows.append(f"<tr class='of'><th scope='colgroup' colspan='{len(_HEADS)}'>{title}</th></tr>")
        rows += [_row(one, comparison.margin) for one in name.differences]
    return page.table("Differences", _HEADS, rows, numbers=_NUMBERS)


def _row(difference: Difference, margin: float) -> str:
    """Return the row of a figure, with its conclusion first: a phone shows no more than three columns."""
    base, new = (words.value(difference, one) for one in (difference.base, difference.new))
    return (
        f"<tr><td>{text(words.HEADINGS[difference.metric])}</td><td>{_tag(difference.conclusion)}</td>"
        f"{_change(difference)}<td>{_drawing(difference, margin)}</td>"
        f"{_numbers((base, new, words.found_from(difference)))}</tr>"
    )


def _tag(conclusion: Conclusion) -> str:
    return f"<span class='tag {TONES[conclusion]}'>{conclusion.value}</span>"


def _change(difference: Difference) -> str:
    """Return the change with its interval below it, or why there is none."""
    if below := words.interval(difference):
        return f"<td class='n'>{text(words.change(difference, difference.change))}<br><small>{text(below)}</small></td>"
    return f"<td class='n why'><small>{text(difference.reason)}</small></td>"


def _numbers(texts: Iterable[str]) -> str:
    return "".join(f"<td class='n'>{text(one)}</td>" for one in texts)


def _undecided(comparison: Comparison) -> str:
    """Return the requests without a conclusion, folded into one line; empty if there are none."""
    rows = [
        f"<tr><th scope='row'>{_label(name)}</th><td>{text('; '.join(name.reasons))}</td>"
        f"<td class='n'>{'-' if name.decided_after_s is None else words.duration(name.decided_after_s)}</td></tr>"
        for name in comparison.undecided
    ]
    if not rows:
        return ""
    table = page.table("Inconclusive requests", ("request", "reason", "decided by runs of about"), rows)
    return f"<details><summary>Inconclusive: {text(words.undecided(comparison))}</summary>{table}</details>"


def _label(name: NameComparison) -> str:
    return f"{text(name.name.method)} {page.name(name.name.name)}".strip()


def _drawing(difference: Difference, margin: float) -> str:
    if difference.low is None or difference.high is None or difference.change is None:
        return ""
    if difference.metric == "error_ratio":
        margin *= ERROR_MARGIN_SHARE
    low, middle, high = (_place(one, margin) for one in (difference.low, difference.change, difference.high))
    left, right, centre = _place(-margin, margin), _place(margin, margin), _HEIGHT / 2
    colour = {"bad": "var(--bad)", "good": "var(--good)"}.get(TONES[difference.conclusion], "var(--seven)")
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' role='img' aria-label='{text(words.interval(difference))}'>"
        f"<rect x='{left:.1f}' y='1' width='{right - left:.1f}' height='{_HEIGHT - 2}' fill='var(--grid)'/>"
        f"<line x1='{_WIDTH / 2}' x2='{_WIDTH / 2}' y1='0' y2='{_HEIGHT}' stroke='var(--line)'/>"
        f"<line x1='{low:.1f}' x2='{high:.1f}' y1='{centre}' y2='{centre}' stroke='{colour}' stroke-width='3'/>"
        + "".join(sorted({_end(low, colour), _end(high, colour)}))
        + (
            f"<circle cx='{middle:.1f}' cy='{centre}' r='4.5' fill='{colour}'/></svg>"
            if _is_inside(middle)
            else "</svg>"
        )
    )


def _end(place: float, colour: str) -> str:
    """Return the arrow head for an end of the interval that is beyond the drawing."""
    if _is_inside(place):
        return ""
    tip, back = (_WIDTH, -9) if place > _WIDTH / 2 else (0, 9)
    points = f"{tip},{_HEIGHT / 2} {tip + back},{_HEIGHT / 2 - 6} {tip + back},{_HEIGHT / 2 + 6}"
    return f"<polygon points='{points}' fill='{colour}'/>"


def _is_inside(place: float) -> bool:
    return _EDGE < place < _WIDTH - _EDGE


def _place(change: float, margin: float) -> float:
    """Return where a change is drawn: at the edge if it is beyond the reach."""
    return max(_EDGE, min(_WIDTH - _EDGE, _WIDTH / 2 + (_WIDTH / 2 - _EDGE) * change / (margin * _REACH)))


def _facts(title: str, document: Document) -> str:
    context: dict[str, Any] = document["context"]
    source = context.get("source") or {}
    facts = {
        "run": document["run_id"],
        "started": document["started_at"],
        "requests": f"{document['total']['requests']:,}",
        "verdict": document["verdict"]["name"],
        "commit": source.get("commit", "-"),
        "host": target_sentence(document),
        "processor": (context.get("host") or {}).get("cpu", "-"),
    }
    return page.facts(title, facts)

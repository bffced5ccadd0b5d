"""The commands `loadtest compare`, `loadtest history` and `loadtest baseline`."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from loadtest.comparing import (
    baselines,
    changes,
    comparability,
    decision,
    duet,
    duet_page,
    history,
    history_page,
    page,
    text,
)
from loadtest.comparing.comparison import MARGIN, Comparison
from loadtest.comparing.comparison import compare as compare_runs
from loadtest.comparing.difference import Conclusion
from loadtest.comparing.outlook import Outlook, outlook
from loadtest.comparing.run_figures import RunFigures
from loadtest.estimating.blocked_run import BlockedRun
from loadtest.exceptions import ExitCode, LoadtestError, RecordError
from loadtest.progress import Steps, one_line, output
from loadtest.reporting import document as run_document
from loadtest.reporting import files
from loadtest.reporting.console_table import print_line
from loadtest.run_folder import RunFolder
from loadtest.settings.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from loadtest.comparing.core_waits import Use
    from loadtest.local.two_versions import Version
    from loadtest.reporting.document import Document

REPORT = "comparison.html"
DATA = "comparison.json"


class Baseline(NamedTuple):
    """The run with which another run will be compared."""

    folder: Path
    document: Document


def begin_with_baseline(config: Config) -> Baseline:
    """Return the baseline for a run with these settings, and print what the comparison will be able to detect.

    Raises:
        RecordError: when the baseline cannot be read, its blocks are damaged, or reading it takes too many resources.
        UsageError: when no baseline is set, or it had another load.
    """
    folder = baselines.folder_for(config)
    with run_document.limited(folder), run_document.reading(folder):
        base = run_document.read(folder)
        comparability.check_settings(base, config.model_dump(mode="json"))
        sentences = text.outlook_sentences(_outlook_of(base, MARGIN))
    for sentence in sentences:
        click.echo(f"{'precision':12} {one_line(sentence)}", err=True)
    return Baseline(folder, base)


def end_with_comparison(base: Baseline, run_dir: Path, code: int, *, error: bool = False) -> int:
    """Compare a run that has just ended with its baseline, on the screen and in two files in its folder.

    Args:
        base: the baseline.
        run_dir: the folder of the run.
        code: the run's own exit code.
        error: print to standard error.

    Returns:
        The run's own exit code if it is not 0; otherwise that of the comparison, or 1 if its files could not be
        written.
    """
    console = output(sys.stderr if error else sys.stdout)
    try:
        with run_document.limited(base.folder, run_dir), run_document.reading(run_dir):
            new = run_document.read(run_dir)
            found = compare_documents(base.document, new)
            text.show(found, console)
            made = {DATA: files.json_text(found.as_dict()), REPORT: page.html(found, base.document, new)}
    except LoadtestError as problem:
        console.print(f"comparison   failed: {problem}", markup=False)
        return code or int(problem.exit_code)
    problems = files.write(run_dir, {name: partial(str, one) for name, one in made.items()})
    for sentence in problems:
        console.print(f"error: {sentence}", markup=False)
    return code or exit_code(found) or (ExitCode.ERROR if problems else ExitCode.PASSED)


def end_with_duet(
    run_dir: Path,
    versions: Sequence[Version],
    margin: float,
    code: int,
    *,
    share: float = 1.0,
    uses: tuple[Use, Use] | None = None,
) -> int:
    """Compare the two sides of a duet that has just ended, on the screen and in two files in its folder.

    Args:
        run_dir: the folder of the run.
        versions: the base and the new version.
        margin: relative.
        code: the run's own exit code.
        share: see `loadtest.comparing.duet.compare_sides`.
        uses: see `loadtest.comparing.duet.compare_sides`.

    Returns:
        The run's own exit code; or that of the comparison, if the run would have passed without what affected both
        sides alike; 1 instead of 0 if its files could not be written.
    """
    if code in {ExitCode.ERROR, ExitCode.USAGE, ExitCode.INTERRUPTED}:
        return code
    document = run_document.read(run_dir)
    found, pairs = duet.compare_sides(document, versions, margin, share, uses)
    base, new = (duet.side(document, version) for version in versions)
    text.show(found, output())
    texts = {
        DATA: lambda: files.json_text({**found.as_dict(), "pairs": pairs}),
        REPORT: lambda: page.html(found, base, new, duet_page.over_time(BlockedRun.of_pairs(document), margin)),
    }
    problems = files.write(run_dir, texts)
    for sentence in problems:
        click.echo(f"error: {one_line(sentence)}", err=True)
    if code == ExitCode.NOT_TRUSTWORTHY and duet.is_fair(document):
        code = int(ExitCode.PASSED)
    elif code == ExitCode.NOT_TRUSTWORTHY:
        print_line(
            output(), "exit code", f"{code}, whatever was found: the run is not trustworthy; its verdict says why"
        )
    return code or exit_code(found) or (ExitCode.ERROR if problems else ExitCode.PASSED)


def compare_documents(base: Document, new: Document, margin: float = MARGIN, *, force: bool = False) -> Comparison:
    """Compare two runs, with progress on standard error.

    Raises:
        UsageError: when they are not comparable and `force` is not set.
        RecordError: when a record's blocks are damaged.
    """
    with _reading(base):
        older = BlockedRun.of(base)
    with _reading(new), Steps("comparing") as steps:
        notes, share = comparability.check(base, new, force=force), decision.share(new)
        runs = older, BlockedRun.of(new)
        if share < 1:
            runs, notes = decision.as_long(*runs), [*notes, text.of_looks(share)]
        return compare_runs(*runs, margin, notes, steps.show, share=share)


def _reading(document: Document) -> AbstractContextManager[None]:
    return run_document.reading(Path(str(document.get("run_id"))))


def margin_option(margin: float) -> Callable[[Any], Any]:
    """Return the option --margin with a default."""
    return click.option(
        "--margin",
        type=click.FloatRange(0, 100, min_open=True),
        default=margin * 100,
        metavar="PERCENT",
        show_default=True,
        help="Largest change of a time or of throughput that counts as none; a tenth, in points, for error ratios.",
    )


@click.command()
@click.argument("base", metavar="BASE")
@click.argument("new", metavar="NEW")
@margin_option(MARGIN)
@click.option(
    "--fail-on-regression",
    is_flag=True,
    help="Exit code 3 if anything is worse, 4 if every response time is inconclusive.",
)
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the comparison as an HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print every difference with its interval as JSON.")
@click.option("--force", is_flag=True, help="Compare the runs even if they are not comparable, and note why.")
def compare(
    *, base: str, new: str, margin: float, fail_on_regression: bool, html_file: Path | None, as_json: bool, force: bool
) -> int:
    """Compare two runs, request by request.

    \b
    loadtest compare 20261121T093657Z-documents-quick 20261121T101500Z-documents-quick
    loadtest compare baseline runs/night-42 --fail-on-regression --html comparison.html

    For each request, NEW is better than BASE, the same, worse, or the result is inconclusive. BASE and NEW are folders
    of runs, or their names in runs/. BASE may be the word baseline: the run chosen with `loadtest baseline set`.
    docs/comparing.md explains the method and how often it is wrong.
    """
    runs_dir = Config.load().runs_dir
    folder = RunFolder.find(new, runs_dir).path
    with run_document.limited(folder), run_document.reading(folder):
        new_document = run_document.read(folder)
        base_folder = baselines.folder(base, baselines.key_of(new_document), runs_dir)
    with run_document.limited(base_folder, folder), run_document.reading(folder):
        base_document = run_document.read(base_folder)
        found = compare_documents(base_document, new_document, margin / 100, force=force)
        if as_json:
            click.echo(files.json_text(found.as_dict()))
        else:
            text.show(found, output())
        if html_file is not None:
            _write_page(html_file, page.html(found, base_document, new_document))
    return exit_code(found) if fail_on_regression else int(ExitCode.PASSED)


def exit_code(comparison: Comparison) -> int:
    """Return 3 if anything is worse, 4 if every response time is inconclusive, otherwise 0."""
    if comparison.conclusion is Conclusion.WORSE:
        return int(ExitCode.THRESHOLD_FAILED)
    return int(ExitCode.NO_DATA if comparison.is_void else ExitCode.PASSED)


@click.command()
@click.argument("run", metavar="RUN")
@margin_option(MARGIN)
@click.option("--json", "as_json", is_flag=True, help="Print the precision of every figure as JSON.")
def plan(*, run: str, margin: float, as_json: bool) -> None:
    """Show which changes a comparison with RUN can detect.

    \b
    loadtest plan 20261121T093657Z-documents-quick
    loadtest plan night-42 --margin 2

    Also shows how long runs must be to detect smaller changes. Both are estimated from the noise within RUN; no load is
    generated.
    """
    folder = RunFolder.find(run, Config.load().runs_dir).path
    with run_document.limited(folder):
        found = _outlook_of(run_document.read(folder), margin / 100)
        if as_json:
            click.echo(files.json_text(found.as_dict()))
        else:
            text.show_outlook(found, output())


def _outlook_of(document: Document, margin: float) -> Outlook:
    with _reading(document):
        return outlook(BlockedRun.of(document), margin)


@click.command(name="history")
@click.option("--json", "as_json", is_flag=True, help="Print the figures of each run as JSON.")
@click.option("--interrupted", "with_interrupted", is_flag=True, help="Show interrupted runs as well.")
@click.option("--changes", "with_changes", is_flag=True, help="Show which figures changed, when, and by how much.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the changes as an HTML page.")
@click.option(
    "--fail-on-change",
    is_flag=True,
    help="Exit code 3 if a figure got worse after the baseline, 4 if no history is long enough to tell.",
)
def show_history(
    *, as_json: bool, with_interrupted: bool, with_changes: bool, html_file: Path | None, fail_on_change: bool
) -> int:
    """List the runs by scenario and profile, with sparklines.

    \b
    loadtest history
    loadtest history --changes --html changes.html
    loadtest history --fail-on-change

    With --changes, --html or --fail-on-change, the runs of each scenario, profile and machine form one history, and
    each request's figures are searched for changes. docs/comparing.md explains the method and how often it is wrong.
    """
    runs_dir = Config.load().runs_dir
    if with_changes or html_file is not None or fail_on_change:
        return _show_changes(runs_dir, html_file, as_json=as_json, is_gate=fail_on_change)
    found, problems = history.entries(runs_dir)
    if not with_interrupted and (left_out := [entry for entry in found if entry.is_interrupted]):
        found = [entry for entry in found if not entry.is_interrupted]
        click.echo(f"left out: {len(left_out)} interrupted; --interrupted shows them", err=True)
    if as_json:
        click.echo(json.dumps([entry.as_dict() for entry in found], indent=1))
    else:
        history.show(found, output())
        if not found:
            click.echo(f"no runs in {runs_dir}")
    _name_skipped(problems)
    return int(ExitCode.PASSED)


def _show_changes(runs_dir: Path, html_file: Path | None, *, as_json: bool, is_gate: bool) -> int:
    runs, problems = history.each_run(runs_dir, RunFigures.read)
    found = changes.histories(runs)
    if left_out := len(runs) - sum(len(one.runs) for one in found):
        click.echo(f"left out: {left_out} without trustworthy figures", err=True)
    if as_json:
        click.echo(files.json_text([one.as_dict() for one in found]))
    else:
        text.show_changes(found, output())
        if not found:
            click.echo(f"no runs with trustworthy figures in {runs_dir}")
    _name_skipped(problems)
    if html_file is not None:
        _write_page(html_file, history_page.html(found))
    if not is_gate:
        return int(ExitCode.PASSED)
    accepted = baselines.read(runs_dir)
    if any(one.worse_since(accepted.get(one.key)) for one in found):
        return int(ExitCode.THRESHOLD_FAILED)
    return int(ExitCode.PASSED if any(one.is_long_enough for one in found) else ExitCode.NO_DATA)


def _name_skipped(problems: list[str]) -> None:
    for problem in problems:
        click.secho(f"skipped: {one_line(problem)}", err=True)


def _write_page(path: Path, html: str) -> None:
    if problems := files.write(path.parent, {path.name: lambda: html}):
        raise RecordError(problems[0])


@click.group()
def baseline() -> None:
    """Set or list the runs that later runs are compared with.

    Each scenario and profile has one baseline.
    """


@baseline.command(name="set")
@click.argument("run", metavar="RUN")
@click.option("--force", is_flag=True, help="Accept a run that was interrupted or is not trustworthy.")
def set_baseline(run: str, *, force: bool) -> None:
    """Make RUN the baseline of its scenario and profile.

    RUN is a folder in runs/.
    """
    runs_dir = Config.load().runs_dir
    folder = RunFolder.find(run, runs_dir).path
    with run_document.limited(folder), run_document.reading(folder):
        document = run_document.read(folder)
        if not force:
            baselines.check(document)
        key = baselines.save(runs_dir, document, folder.name if folder.parent == runs_dir else str(folder))
    click.echo(one_line(f"baseline     {key}: {folder.name}"))


@baseline.command(name="list")
def list_baselines() -> None:
    """List the baselines."""
    for key, run in sorted(baselines.read(Config.load().runs_dir).items()):
        click.echo(one_line(f"{key}: {run}"))

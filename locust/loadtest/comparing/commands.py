"""The commands `loadtest compare`, `loadtest history` and `loadtest baseline`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loadtest.comparing import baselines, comparability, history, page, text
from loadtest.comparing.blocked_run import BlockedRun
from loadtest.comparing.comparison import MARGIN, Comparison, Conclusion
from loadtest.comparing.comparison import compare as compare_runs
from loadtest.exceptions import ExitCode, LoadtestError, RecordError
from loadtest.progress import Steps, output, printable
from loadtest.reporting import document as run_document
from loadtest.reporting import files
from loadtest.run_folder import RunFolder
from loadtest.settings.config import Config

if TYPE_CHECKING:
    from loadtest.reporting.document import Document

REPORT = "comparison.html"
DATA = "comparison.json"


def base_of(base: str, key: str, runs_dir: Path) -> Document:
    """Return the document of the run to compare with; `baseline` stands for the one set for the key.

    Raises:
        RecordError: when it cannot be read.
        UsageError: when no baseline is set.
    """
    name = baselines.find(runs_dir, key) if base == baselines.KEYWORD else base
    return run_document.read(RunFolder.find(name, runs_dir).path)


def baseline_of(config: Config) -> Document:
    """Return the run that a run with these settings will be compared with, before anything is started.

    Raises:
        RecordError: when it cannot be read.
        UsageError: when no baseline is set, or it had another load.
    """
    base = base_of(str(config.baseline), baselines.key(config.scenario, config.profile), config.runs_dir)
    comparability.check_settings(base, config.model_dump(mode="json"))
    return base


def end_with_comparison(base: Document, run_dir: Path, code: int, *, error: bool = False) -> int:
    """Compare a run that has just ended with its baseline, on the screen and as two files in its folder.

    Args:
        base: the baseline.
        run_dir: the folder of the run.
        code: the run's own exit code.
        error: show it on standard error.

    Returns:
        The run's own exit code when it is not 0, otherwise that of the comparison.
    """
    console = output(sys.stderr if error else sys.stdout)
    try:
        new = run_document.read(run_dir)
        found = compare_documents(base, new)
    except LoadtestError as problem:
        console.print(f"comparison   failed: {problem}", markup=False)
        return code or int(problem.exit_code)
    text.show(found, console)
    texts = {
        DATA: lambda: files.json_text(found.as_dict()),
        REPORT: lambda: page.html(found, base, new),
    }
    for sentence in files.write(run_dir, texts):
        console.print(f"error: {sentence}", markup=False)
    return code or exit_code(found)


def compare_documents(base: Document, new: Document, margin: float = MARGIN, *, force: bool = False) -> Comparison:
    """Compare two runs, with progress on standard error.

    Raises:
        UsageError: when they are not comparable and `force` is not set.
        RecordError: when a record's blocks are damaged.
    """
    with run_document.reading(Path(str(base.get("run_id")))):
        notes = comparability.check(base, new, force=force)
        runs = BlockedRun.of(base), BlockedRun.of(new)
    with Steps("comparing") as steps:
        return compare_runs(*runs, margin, notes, steps.show)


@click.command()
@click.argument("base", metavar="BASE")
@click.argument("new", metavar="NEW")
@click.option(
    "--margin",
    type=click.FloatRange(0, 100, min_open=True),
    default=MARGIN * 100,
    metavar="PERCENT",
    show_default=True,
    help="Largest change of a time or of throughput that counts as none; for error ratios a tenth of it, in points.",
)
@click.option(
    "--fail-on-regression", is_flag=True, help="Exit code 3 when anything is worse, 4 when everything is inconclusive."
)
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the comparison as an HTML page.")
@click.option("--json", "as_json", is_flag=True, help="For programs: print every difference with its interval as JSON.")
@click.option("--force", is_flag=True, help="Compare runs that are not comparable, and note why they are not.")
def compare(
    *, base: str, new: str, margin: float, fail_on_regression: bool, html_file: Path | None, as_json: bool, force: bool
) -> int:
    """Tell for each request whether NEW is better, the same or worse than BASE, or the data is inconclusive.

    \b
    loadtest compare 20261121T093657Z-documents-quick 20261121T101500Z-documents-quick
    loadtest compare baseline runs/night-42 --fail-on-regression --html comparison.html

    BASE and NEW are folders of runs, or their names in runs/. BASE may be the word baseline, for the run that was set
    with `loadtest baseline set`. docs/comparing.md explains the method and how often it is wrong.
    """
    runs_dir = Config.load().runs_dir
    new_document = run_document.read(RunFolder.find(new, runs_dir).path)
    base_document = base_of(base, baselines.key_of(new_document), runs_dir)
    found = compare_documents(base_document, new_document, margin / 100, force=force)
    if as_json:
        click.echo(files.json_text(found.as_dict()))
    else:
        text.show(found, output())
    if html_file is not None:
        html = page.html(found, base_document, new_document)
        if problems := files.write(html_file.parent, {html_file.name: lambda: html}):
            raise RecordError(problems[0])
    return exit_code(found) if fail_on_regression else int(ExitCode.PASSED)


def exit_code(comparison: Comparison) -> int:
    """Return 3 when anything is worse, 4 when everything is inconclusive, otherwise 0."""
    if comparison.conclusion is Conclusion.WORSE:
        return int(ExitCode.THRESHOLD_FAILED)
    return int(ExitCode.NO_DATA if comparison.is_void else ExitCode.PASSED)


@click.command(name="history")
@click.option("--json", "as_json", is_flag=True, help="For programs: print the figures of each run as JSON.")
@click.option("--interrupted", "with_interrupted", is_flag=True, help="Show interrupted runs as well.")
def show_history(*, as_json: bool, with_interrupted: bool) -> None:
    """List the runs in the runs folder by scenario and profile, with sparklines of their figures."""
    runs_dir = Config.load().runs_dir
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
    for problem in problems:
        click.secho(f"skipped: {printable(problem)}", err=True)


@click.group()
def baseline() -> None:
    """Set the run that later runs of the same scenario and profile are compared with."""


@baseline.command(name="set")
@click.argument("run", metavar="RUN")
@click.option("--force", is_flag=True, help="Take an interrupted run.")
def set_baseline(run: str, *, force: bool) -> None:
    """Make RUN, a folder in runs/, the baseline of its scenario and profile."""
    runs_dir = Config.load().runs_dir
    folder = RunFolder.find(run, runs_dir).path
    document = run_document.read(folder)
    if not force:
        baselines.check(document)
    key = baselines.save(runs_dir, document, folder.name if folder.parent == runs_dir else str(folder))
    click.echo(printable(f"baseline     {key}: {folder.name}"))


@baseline.command(name="list")
def list_baselines() -> None:
    """List the baselines."""
    for key, run in sorted(baselines.read(Config.load().runs_dir).items()):
        click.echo(printable(f"{key}: {run}"))

"""Baselines: the runs that later runs of the same scenario and profile are compared with, in baselines.json.

Tested in tests/unit/comparing/test_commands.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from loadtest import atomic_file, untrusted
from loadtest.exceptions import RecordError, UsageError
from loadtest.judging.outcome import MEASURED
from loadtest.run_folder import RunFolder
from loadtest.settings.scenario_files import name_of_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.reporting.document import Document
    from loadtest.settings.config import Config

_LONGEST_BYTES: Final = 1024 * 1024
FILE: Final = "baselines.json"
KEYWORD: Final = "baseline"
"""The word that stands for the baseline where a run's name is expected."""


def key_of(document: Document) -> str:
    """Return the scenario and profile for which a run can be the baseline."""
    configuration = document["configuration"]
    return key(configuration.get("scenario", ""), configuration.get("profile", ""))


def key(scenario: str, profile: str) -> str:
    """Return the key shared by the runs of a scenario, given by name or path, and a profile."""
    return f"{name_of_scenario(scenario)}/{profile}"


def read(runs_dir: Path) -> dict[str, str]:
    """Return the names of the baselines, by scenario and profile.

    Raises:
        RecordError: when the file is damaged.
    """
    path = runs_dir / FILE
    try:
        data = untrusted.read_file(path, _LONGEST_BYTES)
        found = dict(untrusted.parse_json(data, _LONGEST_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{path} cannot be read ({error}). Allowed: what `loadtest baseline set` writes. Next: remove it, then "
            "set the baselines again."
        ) from error
    return {str(key): str(run) for key, run in found.items()}


def folder(base: str, key: str, runs_dir: Path) -> Path:
    """Return the folder of the run to compare with; `baseline` stands for the one set for the key.

    Raises:
        UsageError: when no baseline is set.
    """
    return RunFolder.find(find(runs_dir, key) if base == KEYWORD else base, runs_dir).path


def folder_for(config: Config) -> Path:
    """Return the folder of the run that a run with these settings, which name one, is compared with.

    Raises:
        UsageError: as for `folder`.
    """
    return folder(str(config.baseline), key(config.scenario, config.profile), config.runs_dir)


def check(document: Document) -> None:
    """Check that a run can be a baseline.

    Raises:
        UsageError: when it was interrupted, or measured nothing that can be trusted.
    """
    if document["verdict"]["name"] not in MEASURED:
        raise UsageError(
            f"{document['run_id']} cannot be a baseline: it is {document['verdict']['name']} "
            f"({'; '.join(document['verdict']['reasons'])}). Allowed: a run that passed or failed. Next: repeat it; if "
            "other work runs too, load both versions at once with `loadtest duet`; or use --force."
        )


def save(runs_dir: Path, document: Document, run: str) -> str:
    """Make a run the baseline of its scenario and profile, and return these.

    Raises:
        RecordError: when the runs folder cannot be written, or the file is damaged.
    """
    baselines = {**read(runs_dir), key_of(document): run}
    path = runs_dir / FILE
    try:
        atomic_file.replace(path, (json.dumps(baselines, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written ({error.strerror}). Allowed: a writable runs folder. Next: free some "
            "space, change its owner, or set RUNS_DIR."
        ) from error
    return key_of(document)


def find(runs_dir: Path, key: str) -> str:
    """Return the baseline for a scenario and a profile.

    Raises:
        RecordError: when the file is damaged.
        UsageError: when there is none.
    """
    baselines = read(runs_dir)
    if key not in baselines:
        known = ", ".join(sorted(baselines)) or "none yet"
        raise UsageError(
            f"there is no baseline for {key} in {runs_dir}. Allowed: {known}. "
            "Next: set one with `loadtest baseline set RUN`."
        )
    return baselines[key]

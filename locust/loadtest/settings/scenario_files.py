"""The files that the setting `scenario` names. Tested in tests/unit/settings/test_config.py."""

from __future__ import annotations

import os
from pathlib import Path

from loadtest.untrusted import is_folder

SCENARIO_ENDING = ".py"
"""The file extension of scenarios."""


def paths_of_scenario(scenario: str) -> list[Path]:
    """Return the files and folders that the setting `scenario` names, as Locust's -f does; none for a built-in one."""
    paths = [Path(part.strip()) for part in scenario.split(",")]
    is_name = len(paths) == 1 and not (
        scenario.endswith(SCENARIO_ENDING) or os.sep in scenario or (is_folder(paths[0]) and not _is_built_in(scenario))
    )
    return [] if is_name else paths


def _is_built_in(scenario: str) -> bool:
    return (Path(__file__).parents[1] / "scenarios" / f"{scenario}{SCENARIO_ENDING}").is_file()


def name_of_scenario(scenario: str) -> str:
    """Return the name for the setting `scenario`: files by their names without folder and extension, however given."""
    return "-".join(path.resolve().stem for path in paths_of_scenario(scenario)) or scenario

"""LoadProfile: how much load, for how long."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from loadtest.config import CONF_DIR, Config, Seconds, SpawnRate, Users, allowed
from loadtest.exceptions import UsageError, unknown_name

if TYPE_CHECKING:
    from pathlib import Path

PROFILES_FILE = CONF_DIR / "profiles.toml"
ALLOWED = {
    "users": allowed("users"),
    "spawn_rate_per_s": allowed("spawn_rate"),
    "run_time": allowed("run_time"),
}


class LoadProfile(BaseModel):
    """A closed model: `users` users, started at `spawn_rate_per_s`, for `run_time` seconds in all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    users: Users
    spawn_rate_per_s: SpawnRate
    run_time: Seconds

    @classmethod
    def of(cls, config: Config, file: Path = PROFILES_FILE) -> LoadProfile:
        """Return the profile that the Config names, with the Config's own users, spawn rate and run time.

        Raises:
            UsageError: for a profile that the file does not have, naming the nearest.
        """
        profiles = read_profiles(file)
        if config.profile not in profiles:
            raise UsageError(unknown_name("PROFILE", config.profile, list(profiles)))
        own = {"users": config.users, "spawn_rate_per_s": config.spawn_rate, "run_time": config.run_time}
        return profiles[config.profile].model_copy(
            update={key: value for key, value in own.items() if value is not None}
        )


def read_profiles(file: Path = PROFILES_FILE) -> dict[str, LoadProfile]:
    """Read all profiles of a TOML file.

    Raises:
        UsageError: when the file is missing, is no TOML, or holds a wrong value; all wrong values at once.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the profiles file {file} cannot be read ({error.strerror}). Allowed: a TOML file. "
            "Next: run from the project's folder."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}. Next: correct that line.") from error
    problems: list[str] = []
    profiles: dict[str, LoadProfile] = {}
    for name, table in tables.items():
        try:
            profiles[name] = LoadProfile.model_validate(table)
        except ValidationError as error:
            problems += [_explain(name, part, file) for part in error.errors()]
    if problems:
        raise UsageError("\n".join(problems))
    return profiles


def _explain(name: str, error: Any, file: Path) -> str:
    key = error["loc"][-1] if error["loc"] else ""
    sentence = ALLOWED.get(key, f"exactly the keys {', '.join(ALLOWED)}")
    return (
        f"{file}, [{name}] {key} = {error['input']!r} is not allowed ({error['msg']}). "
        f"Allowed: {sentence}. Next: correct it."
    )

"""LoadProfile: how much load, for how long, in the closed or in the open model.

*Closed*: a number of users, each of which waits for its responses; a slow system under test gets fewer requests.
*Open*: an arrival rate, however long the responses take, with a pool of users that grows up to a maximum.
docs/reference/profiles.md describes the file; `Profile file` below is its schema.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from loadtest.exceptions import UsageError, unknown_name
from loadtest.profiles.curve import RAMPS, LoadCurve, Ramp, Stage
from loadtest.profiles.curve_file import ENDINGS, CurveFile
from loadtest.profiles.think_time import ThinkTime
from loadtest.settings.config import Config, allowed
from loadtest.settings.shipped import CONF_DIR, own_or_shipped
from loadtest.settings.toml_file import TomlFile
from loadtest.settings.value_types import Rate, Seconds, SpawnRate, Users, duration_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROFILES_FILE = CONF_DIR / "profiles.toml"
DEFAULT_SPAWN_RATE_PER_S = 100.0
"""How fast a step changes the number of users by default: Locust's own recommendation for one worker."""
Arrivals = Literal["even", "poisson"]
_ANSWERS_TAKE_S = 10.0
_MIN_USERS, _MAX_USERS = 100, 10_000


@dataclass(frozen=True)
class LoadProfile:
    """A profile as it will run.

    Attributes:
        name: its name in the file.
        description: one line for people; may be empty.
        model: "closed": the stages' levels are users; "open": they are arrivals per second.
        stages: at least one, in order, without gaps.
        spawn_rate_per_s: closed model: how many users a step starts or stops per second.
        think_time: closed model: the wait between two iterations, which replaces the scenario's; None keeps that.
        max_users: open model: the largest pool.
        pre_allocated_users: open model: users that are there from the start, at most `max_users`.
        arrivals: open model: "even" intervals, or a "poisson" process of the same rate.
        seed: open model: of the Poisson process; the same seed gives the same arrivals.
        starts: open model: the time of each single arrival, if known: see `CurveFile.starts`.
    """

    name: str
    model: Literal["closed", "open"]
    stages: tuple[Stage, ...]
    description: str = ""
    spawn_rate_per_s: float = DEFAULT_SPAWN_RATE_PER_S
    think_time: ThinkTime | None = None
    max_users: int = 0
    pre_allocated_users: int = 0
    arrivals: Arrivals = "even"
    seed: int = 1
    starts: bytes = b""

    @classmethod
    def of(cls, config: Config, profiles: Mapping[str, LoadProfile] | None = None) -> LoadProfile:
        """Return the Config's profile, with the Config's users, rates and run time.

        Args:
            config: the settings.
            profiles: those to choose from; by default `profiles_of` reads them.

        Raises:
            UsageError: for an unknown profile, with the nearest name; for a setting that does not fit its model.
        """
        profiles = profiles_of(config) if profiles is None else profiles
        if config.profile not in profiles:
            raise UsageError(unknown_name("PROFILE", config.profile, list(profiles)))
        return profiles[config.profile].changed_by(config)

    @cached_property
    def curve(self) -> LoadCurve:
        """The level over time: users in the closed model, arrivals per second in the open one."""
        return LoadCurve.of(self.stages, math.inf if self.model == "open" else self.spawn_rate_per_s)

    @property
    def run_time_s(self) -> float:
        """The length of the run."""
        return self.curve.duration_s

    @property
    def peak_users(self) -> int:
        """The highest number of users; in the open model, the highest that is allowed."""
        return self.max_users if self.model == "open" else _nearest(self.curve.peak)

    @property
    def peak_rate_per_s(self) -> float:
        """The highest arrival rate; 0 in the closed model."""
        return self.curve.peak if self.model == "open" else 0.0

    @property
    def is_flat(self) -> bool:
        """Whether it is one step to one level, which Locust's own users, spawn rate and run time can express."""
        return self.model == "closed" and len(self.stages) == 1 and self.stages[0].ramp == "step"

    @property
    def unreached(self) -> str:
        """A sentence about a ramp that the run is too short for; empty if every level is reached."""
        asked, peak = max(stage.level for stage in self.stages), self.curve.peak
        if _nearest(peak) >= _nearest(asked):
            return ""
        return (
            f"at SPAWN_RATE={self.spawn_rate_per_s:g} the run of {self.run_time_s:g} s reaches {_nearest(peak)} of "
            f"{_nearest(asked)} users. Next: raise SPAWN_RATE or RUN_TIME, or lower USERS"
        )

    def users_at(self, t_s: float) -> int:
        """Return the users that should run t seconds into the run; in the open model, those there from the start.

        Before the start and from the end on it is 0.
        """
        if self.model == "open":
            return self.pre_allocated_users if 0 <= t_s < self.run_time_s else 0
        return _nearest(self.curve.level_at(t_s))

    def changed_by(self, config: Config) -> LoadProfile:
        """Return this profile with the Config's own values.

        RUN_TIME stretches or shrinks every stage by the same factor. USERS and RATE scale every stage so that the
        peak is the given one; in the open model USERS is the pool's maximum.

        Raises:
            UsageError: naming every setting that does not apply to this profile's model.
        """
        self._check_fits(config)
        stages, starts = self.stages, self.starts
        if config.run_time is not None:
            factor = config.run_time / sum(stage.duration_s for stage in stages)
            stages = tuple(replace(stage, duration_s=stage.duration_s * factor) for stage in stages)
            starts = (np.frombuffer(starts, "<f8") * factor).tobytes()
        peak = config.rate if self.model == "open" else config.users
        if peak is not None:
            factor = peak / max(stage.level for stage in stages)
            stages = tuple(replace(stage, level=stage.level * factor) for stage in stages)
        changed = replace(
            self, stages=stages, starts=starts, spawn_rate_per_s=config.spawn_rate or self.spawn_rate_per_s
        )
        if self.model == "open" and config.users is not None:
            pre_allocated_users = min(self.pre_allocated_users, config.users)
            changed = replace(changed, max_users=config.users, pre_allocated_users=pre_allocated_users)
        if config.warm_up_s >= changed.run_time_s:
            raise UsageError(
                f"WARM_UP={config.warm_up_s:g}s leaves nothing to judge in a run of {changed.run_time_s:g} s. Allowed: "
                "a duration that is shorter than the run. Next: shorten it, or raise RUN_TIME."
            )
        return changed

    def _check_fits(self, config: Config) -> None:
        problems = []
        if self.model == "closed" and config.rate is not None:
            problems.append(
                f"RATE={config.rate:g} does not apply to PROFILE={self.name}, a profile of the closed model, which "
                "sets users. Allowed: with a profile of the open model. Next: set PROFILE=constant-arrival-rate, or "
                "USERS."
            )
        if self.model == "open" and config.spawn_rate is not None:
            problems.append(
                f"SPAWN_RATE={config.spawn_rate:g} does not apply to PROFILE={self.name}, a profile of the open model, "
                "which sets arrivals per second. Allowed: with a profile of the closed model. Next: set RATE, or leave "
                "SPAWN_RATE out."
            )
        if self.starts and config.rate is not None:
            problems.append(
                f"RATE={config.rate:g} does not apply to PROFILE={self.name}, which has the times of single arrivals. "
                "Allowed: RUN_TIME, which makes all of it faster or slower. Next: leave RATE out."
            )
        if problems:
            raise UsageError("\n".join(problems))


def _nearest(level: float) -> int:
    return int(level + 0.5)


def profiles_of(config: Config) -> dict[str, LoadProfile]:
    """Return the possible profiles, including that of a measured-load file if PROFILE names one.

    Raises:
        UsageError: as `read_profiles` and `CurveFile`.
    """
    profiles = all_profiles(config.profiles_file)
    if config.profile.endswith(ENDINGS):
        profiles[config.profile] = _measured(Path(config.profile), config.profile_name)
    return profiles


def _measured(path: Path, name: str) -> LoadProfile:
    """Return the profile of a file; its users suffice for answers that take ten seconds at the peak."""
    file = CurveFile(path)
    peak_per_s = max(stage.level for stage in file.stages)
    max_users = max(_MIN_USERS, min(_MAX_USERS, math.ceil(_ANSWERS_TAKE_S * peak_per_s)))
    return LoadProfile(
        name, "open", file.stages, max_users=max_users, pre_allocated_users=max_users // 10, starts=file.starts
    )


def all_profiles(own_file: Path | None = None) -> dict[str, LoadProfile]:
    """Return the shipped profiles and those of the user's own file, which takes precedence for the same name.

    Raises:
        UsageError: as `read_profiles`.
    """
    return {**read_profiles(), **(read_profiles(own_file) if own_file else {})}


def read_profiles(file: Path = PROFILES_FILE) -> dict[str, LoadProfile]:
    """Read all profiles of a TOML file.

    Raises:
        UsageError: when the file is missing, is not TOML, or holds wrong values, all of which are named.
    """
    toml = TomlFile(own_or_shipped(file), "profiles file")
    problems: list[str] = []
    profiles: dict[str, LoadProfile] = {}
    for name, table in toml.tables.items():
        try:
            profiles[name] = _read(name, table, toml)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return profiles


# --- Profile file ----------------------------------------------------------------------------------------------------


def _think_time(value: object) -> tuple[float, float]:
    bounds = value if isinstance(value, list) else [value, value]
    low, high = (duration_s(bound) for bound in bounds)
    if low > high:
        raise ValueError("the first is longer than the second")
    return low, high


_Start = Annotated[float, BeforeValidator(duration_s), Field(ge=0)]
_Think = Annotated[tuple[float, float], BeforeValidator(_think_time)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _StageTable(_Strict):
    duration: Seconds
    start: _Start | None = None
    ramp: Ramp = "linear"


class _UserStage(_StageTable):
    users: Annotated[int, Field(ge=0, le=1_000_000)]


class _RateStage(_StageTable):
    rate_per_s: Rate


class _Closed(_Strict):
    description: str = ""
    spawn_rate_per_s: SpawnRate = DEFAULT_SPAWN_RATE_PER_S
    think_time: _Think | None = None


class _ClosedFlat(_Closed):
    users: Users
    run_time: Seconds


class _ClosedStages(_Closed):
    stages: Annotated[list[_UserStage], Field(min_length=1, max_length=1000)]


class _Open(_Strict):
    description: str = ""
    max_users: Users
    pre_allocated_users: Users | None = None
    arrivals: Arrivals = "even"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1


class _OpenFlat(_Open):
    rate_per_s: Rate
    run_time: Seconds


class _OpenStages(_Open):
    stages: Annotated[list[_RateStage], Field(min_length=1, max_length=1000)]


_ALLOWED = {
    "users": allowed("users"),
    "spawn_rate_per_s": allowed("spawn_rate"),
    "run_time": allowed("run_time"),
    "duration": allowed("run_time"),
    "start": "a duration from the start of the run, 0s or more",
    "ramp": ", ".join(RAMPS),
    "rate_per_s": allowed("rate"),
    "max_users": allowed("users"),
    "pre_allocated_users": allowed("users"),
    "think_time": 'a duration such as "1s", or the shortest and the longest such as ["1s", "3s"]',
    "arrivals": "even or poisson",
    "seed": "a whole number, 0 or more",
    "stages": "1 to 1000 tables { users or rate_per_s, duration, ramp }",
    "description": "a string",
}
_ALLOWED_IN_STAGE = {**_ALLOWED, "users": "a whole number from 0 to 1000000"}


def _read(name: str, table: object, toml: TomlFile) -> LoadProfile:
    """Return one profile.

    Raises:
        UsageError: with a line for each wrong value.
    """
    schema = _schema(table)
    try:
        checked = schema.model_validate(table)
    except ValidationError as error:
        parts = sorted(error.errors(), key=lambda part: toml.line_of((name, *part["loc"])))
        raise UsageError("\n".join(_explain(name, part, schema, toml) for part in parts)) from error
    fields = checked.model_dump()
    stages = fields.pop("stages", None) or [
        {"duration": fields.pop("run_time"), "ramp": "step", "start": None, **_level(fields)}
    ]
    problems = _problems(name, stages, fields, toml)
    if problems:
        raise UsageError("\n".join(problems))
    if fields.get("think_time"):
        fields["think_time"] = ThinkTime(*fields["think_time"])
    if "max_users" in fields:
        fields["pre_allocated_users"] = fields["pre_allocated_users"] or max(1, fields["max_users"] // 10)
    model: Literal["closed", "open"] = "open" if isinstance(checked, _Open) else "closed"
    return LoadProfile(name=name, model=model, stages=tuple(_without_gaps(stages)), **fields)


def _schema(table: object) -> type[_Closed | _Open]:
    """Return the schema of a profile by its keys: rates make it open, stages make it staged."""
    if not isinstance(table, dict):
        return _ClosedFlat
    stages = table.get("stages")
    levels = stages if isinstance(stages, list) else [table]
    is_open = any(isinstance(level, dict) and "rate_per_s" in level for level in [table, *levels])
    if "stages" in table:
        return _OpenStages if is_open else _ClosedStages
    return _OpenFlat if is_open else _ClosedFlat


def _level(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: fields.pop(key) for key in ("users", "rate_per_s") if key in fields}


def _without_gaps(stages: Iterable[Mapping[str, Any]]) -> Iterable[Stage]:
    """Yield the stages; in a gap the level is held until the next stage starts."""
    end_s = level = 0.0
    for stage in stages:
        gap_s = stage["start"] - end_s if stage["start"] is not None else 0.0
        if gap_s > 0:
            yield Stage(gap_s, level, "step")
            end_s += gap_s
        level = float(stage["users"] if "users" in stage else stage["rate_per_s"])
        yield Stage(stage["duration"], level, stage["ramp"])
        end_s += stage["duration"]


def _problems(name: str, stages: list[dict[str, Any]], fields: Mapping[str, Any], toml: TomlFile) -> list[str]:
    """Return the problems that involve several values."""
    problems = []
    end_s = 0.0
    for index, stage in enumerate(stages):
        start_s = end_s if stage["start"] is None else stage["start"]
        where = f"{toml.where((name, 'stages', index, 'start'))}: [{name}] stage {index + 1} starts at {start_s:g} s"
        if index == 0 and start_s > 0:
            problems.append(f"{where}. Allowed: the first at 0 s. Next: leave out its start.")
        elif start_s < end_s:
            problems.append(
                f"{where}, before stage {index} ends at {end_s:g} s: they overlap. Allowed: {end_s:g}s or later. "
                "Next: correct start or duration, or leave start out."
            )
        end_s = max(end_s, start_s + stage["duration"])
    if all(stage.get("users") == 0 for stage in stages):
        problems.append(
            f"{toml.where((name,))}: [{name}] has 0 users in every stage. Allowed: at least 1 in one. Next: set users."
        )
    pre_allocated, most = fields.get("pre_allocated_users"), fields.get("max_users", 0)
    if pre_allocated and pre_allocated > most:
        problems.append(
            f"{toml.where((name, 'pre_allocated_users'))}: [{name}] pre_allocated_users = {pre_allocated} is more than "
            f"max_users = {most}. Allowed: at most max_users. Next: lower it, or raise max_users."
        )
    return problems


def _explain(name: str, error: Any, schema: type[BaseModel], toml: TomlFile) -> str:
    """Return the sentence for one of pydantic's errors."""
    location = (name, *error["loc"])
    where = f"{toml.where(location)}: [{name}]"
    keys = [part for part in error["loc"] if isinstance(part, str) and part in _ALLOWED]
    key = str(error["loc"][-1]) if error["loc"] else ""
    stage = next((f" stage {part + 1}," for part in error["loc"] if isinstance(part, int)), "")
    fields = _stage_fields(schema) if stage else schema.model_fields
    sentences = _ALLOWED_IN_STAGE if stage else _ALLOWED
    model = "the open model" if issubclass(schema, _Open) else "the closed model"
    if error["type"] == "missing":
        return f"{where}{stage} {key} is missing. Allowed: {sentences[key]}. Next: add it."
    if error["type"] == "extra_forbidden":
        return (
            f"{where}{stage} {key} is not a key of {'a stage' if stage else 'a profile'} of {model}. "
            f"Allowed: {', '.join(fields)}. Next: correct its name, or remove it."
        )
    if not keys:
        return f"{where} is {error['input']!r}. Allowed: a table with {', '.join(fields)}. Next: correct it."
    return (
        f"{where}{stage} {keys[-1]} = {error['input']!r} is not allowed. Allowed: {sentences[keys[-1]]}. "
        "Next: correct it."
    )


def _stage_fields(schema: type[BaseModel]) -> Iterable[str]:
    return (_RateStage if issubclass(schema, _Open) else _UserStage).model_fields

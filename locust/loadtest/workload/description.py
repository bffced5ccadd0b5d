"""Description: a workload's TOML file, checked. docs/reference/workloads.md describes the file."""

from __future__ import annotations

import itertools
import re
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from loadtest.exceptions import UsageError
from loadtest.settings.shipped import own_or_shipped
from loadtest.settings.toml_file import TomlFile
from loadtest.settings.value_types import duration_s
from loadtest.workload import distributions
from loadtest.workload.distributions import Distribution
from loadtest.workload.documents import SMALLEST_BYTES
from loadtest.workload.operations import OPERATIONS, Form

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

_NUMBER: Final = re.compile(r"\{n(?::0([1-9]\d?))?\}")
_PAIR: Final = 2
_YEAR_S: Final = 365 * 24 * 3600


def _pattern(value: str) -> str:
    if len(_NUMBER.findall(value)) != 1 or not value.isprintable():
        raise ValueError("not one place for the number")
    return value


def _distribution(value: str) -> str:
    Distribution.of(value)
    return value


def _both(value: object) -> tuple[Any, Any]:
    """Return the ends of a range; a single value is one, too."""
    bounds = value if isinstance(value, list) else [value, value]
    if len(bounds) != _PAIR:
        raise ValueError("neither a value nor two")
    return bounds[0], bounds[1]


def _durations(value: object) -> tuple[float, float]:
    low, high = map(duration_s, _both(value))
    return low, high


def _ascending(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError("the first is more than the second")
    return bounds


_Size = Annotated[int, Field(ge=SMALLEST_BYTES, le=4 * 1024 * 1024)]
_Depth = Annotated[int, Field(ge=1, le=50)]
_Ttl = Annotated[float, Field(ge=0.001, le=_YEAR_S)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Keys(_Strict):
    """The key space."""

    pattern: Annotated[str, Field(max_length=200), AfterValidator(_pattern)] = "{n}"
    size: Annotated[int, Field(ge=1, le=1_000_000_000)]
    fill: _Share = 1.0
    distribution: Annotated[str, AfterValidator(_distribution)] = "uniform"
    ttl: Annotated[tuple[_Ttl, _Ttl], BeforeValidator(_durations), AfterValidator(_ascending)] | None = None
    per_mget: Annotated[int, Field(ge=1, le=1_000)] = 10

    @property
    def filled(self) -> int:
        """The number of keys that exist when load begins: those with the lowest numbers."""
        return round(self.fill * self.size)

    def numbers(self, generator: np.random.Generator) -> Iterator[int]:
        """Yield the numbers of the keys that are accessed, without end."""
        return Distribution.of(self.distribution).numbers(self.size, generator)

    def ttls_ms(self, chance: random.Random) -> Iterator[int | None]:
        """Yield the expiry times of keys in milliseconds, without end; None for no expiry."""
        if self.ttl is None:
            return itertools.repeat(None)
        low_s, high_s = self.ttl
        return (round(chance.uniform(low_s, high_s) * 1000) for _ in itertools.count())

    def namer(self, prefix: str) -> Callable[[int], str]:
        """Return what makes a key of a number, with a prefix."""
        place = _NUMBER.search(self.pattern)
        assert place is not None  # noqa: S101 - checked when the file was read
        head, tail, digits = prefix + self.pattern[: place.start()], self.pattern[place.end() :], int(place[1] or 1)
        return lambda number: f"{head}{number:0{digits}d}{tail}"


class Values(_Strict):
    """The documents."""

    size_bytes: Annotated[tuple[_Size, _Size], BeforeValidator(_both), AfterValidator(_ascending)]
    depth: Annotated[tuple[_Depth, _Depth], BeforeValidator(_both), AfterValidator(_ascending)] = (1, 1)


class Description(_Strict):
    """A workload as its file describes it."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    read_share: _Share | None = None
    keys: Keys
    values: Values
    operations: dict[str, _Weight]

    @property
    def shares(self) -> dict[str, float]:
        """The operations, with their relative frequencies."""
        done = {name: weight for name, weight in self.operations.items() if weight}
        if self.read_share is None:
            return done
        of_reads = sum(weight for name, weight in done.items() if _reads(name))
        of_others = sum(done.values()) - of_reads
        shares = {
            name: self.read_share * weight / of_reads if _reads(name) else (1 - self.read_share) * weight / of_others
            for name, weight in done.items()
        }
        return {name: share for name, share in shares.items() if share}

    @property
    def forms(self) -> list[Form]:
        """The forms of keys that the operations need."""
        used = {OPERATIONS[name].form for name in self.shares}
        return [form for form in get_args(Form) if form in used]


def _reads(name: str) -> bool:
    return OPERATIONS[name].effect == "read"


ALLOWED: Final = {
    "seed": "a whole number, 0 or more",
    "read_share": "a number from 0 to 1",
    "keys": "a table with size and more",
    "pattern": "up to 200 characters with {n} in one place, which stands for the key's number, or {n:06} with zeros",
    "size": "a whole number from 1 to 1000000000",
    "fill": "a number from 0 to 1",
    "distribution": distributions.ALLOWED,
    "ttl": 'a duration from 0.001s to a year such as "60s", or the shortest and the longest such as ["30s", "90s"]',
    "per_mget": "a whole number from 1 to 1000",
    "values": "a table with size_bytes and more",
    "size_bytes": "a whole number from 200 to 4194304, or the minimum and the maximum such as [500, 2000]",
    "depth": "a whole number from 1 to 50, or the minimum and the maximum such as [1, 4]",
    "operations": f"a table of weights, numbers from 0 to 1000000, of {', '.join(OPERATIONS)}",
}
"""The allowed values of each key of the file."""


def read(file: Path) -> Description:
    """Read a workload's file.

    Raises:
        UsageError: when it cannot be read, is not TOML, or holds wrong values, all of which are named.
    """
    toml = TomlFile(own_or_shipped(file), "workload file")
    try:
        description = Description.model_validate(toml.tables)
    except ValidationError as error:
        parts = sorted(error.errors(), key=lambda part: toml.line_of(part["loc"]))
        raise UsageError("\n".join(dict.fromkeys(_explain(part, toml) for part in parts))) from error
    if problems := [f"{toml.where(_place(problem))}: {problem}" for problem in _problems(description)]:
        raise UsageError("\n".join(problems))
    return description


def _place(problem: str) -> tuple[str, ...]:
    """Return the keys that lead to what a problem is about, with whose names it begins."""
    return tuple(problem.partition(" ")[0].split("."))


def _explain(error: Any, toml: TomlFile) -> str:
    """Return the sentence for one of pydantic's errors."""
    names = [part for part in error["loc"] if isinstance(part, str)]
    name, where = ".".join(names), toml.where(error["loc"])
    if error["type"] == "extra_forbidden":
        known = {"keys": Keys.model_fields, "values": Values.model_fields}
        allowed = ", ".join(known[names[0]] if names[1:] else Description.model_fields)
        return f"{where}: {name} is not a key of a workload. Allowed: {allowed}. Next: correct its name, or remove it."
    allowed = ALLOWED.get(names[-1], ALLOWED["operations"])
    if error["type"] == "missing":
        return f"{where}: {name} is missing. Allowed: {allowed}. Next: add it."
    value = reduce(lambda table, name: table[name], names, toml.tables)
    return f"{where}: {name} = {value!r} is not allowed. Allowed: {allowed}. Next: correct it."


def _problems(description: Description) -> Iterator[str]:
    """Yield the problems that involve several values; each sentence begins with the position in the file."""
    unknown = [name for name in description.operations if name not in OPERATIONS]
    for name in unknown:
        yield (
            f"operations.{name} is not an operation. Allowed: {', '.join(OPERATIONS)}. Next: correct its name, or "
            "remove it."
        )
    if not unknown:
        yield from _problems_of_operations(description)
    fewest, deepest = description.values.size_bytes[0], description.values.depth[1]
    if fewest < deepest * SMALLEST_BYTES:
        yield (
            f"values.size_bytes = {fewest} is too little for {deepest} levels. Allowed: {SMALLEST_BYTES} or more for "
            "each level. Next: raise it, or lower depth."
        )


def _problems_of_operations(description: Description) -> Iterator[str]:
    done = [name for name, weight in description.operations.items() if weight]
    if not done:
        yield "operations has no weight above 0. Allowed: one or more. Next: add one, such as json_get = 1."
        return
    share, keys = description.read_share, description.keys
    has_reads, has_others = any(map(_reads, done)), not all(map(_reads, done))
    if share is not None and ((share > 0 and not has_reads) or (share < 1 and not has_others)):
        yield (
            f"read_share = {share:g} needs operations that read and such that write, of which one kind is missing. "
            "Allowed: 0 or 1 where there is one kind. Next: add such an operation, or leave read_share out."
        )
    updates = [name for name in done if OPERATIONS[name].effect == "update"]
    if updates and (keys.filled < keys.size or keys.ttl):
        yield (
            f"operations.{updates[0]} changes documents that may not exist. Allowed: with keys.fill = 1 and without "
            "keys.ttl. Next: correct those, or leave it out."
        )
    if "json_arrappend" in done and "json_set" not in done:
        yield (
            "operations.json_arrappend makes documents grow without end. Allowed: together with json_set, which "
            "rewrites them. Next: add json_set."
        )

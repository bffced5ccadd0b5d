"""Show a load profile as a small curve of block characters, as a line of text, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from loadtest.progress import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from loadtest.profiles.profile import LoadProfile

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDEST = 60
_MARGIN = 2


def curve_line(profile: LoadProfile, width: int) -> str:
    """Return the profile's level over its run time as `width` characters; the full block is its peak."""
    curve = profile.curve
    step_s = curve.duration_s / width
    levels = [curve.level_at((index + 0.5) * step_s) / curve.peak for index in range(width)]
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(level * len(_BLOCKS)))] if level else " " for level in levels)


def summary(profile: LoadProfile) -> str:
    """Return the profile's numbers as a line of text."""
    if profile.model == "open":
        first = profile.curve.level_at(0)
        rising = f"{first:g} to " if first != profile.peak_rate_per_s else ""
        poisson = ", Poisson" if profile.arrivals == "poisson" else ""
        load = f"{rising}{profile.peak_rate_per_s:g} arrivals/s{poisson}, at most {_users(profile)}"
    elif profile.is_flat:
        load = f"{_users(profile)}, {profile.spawn_rate_per_s:g} started per s"
    else:
        load = f"up to {_users(profile)}"
    return f"{load}, {clock(profile.run_time_s)}"


def _users(profile: LoadProfile) -> str:
    return f"{profile.peak_users} user{'' if profile.peak_users == 1 else 's'}"


def show(profiles: Iterable[LoadProfile], console: Console) -> None:
    """Print the profiles: on a terminal a line and a curve each, otherwise one plain line each."""
    profiles = list(profiles)
    name_width = max(len(profile.name) for profile in profiles)
    draws = console.is_terminal and console.encoding.startswith("utf")
    for profile in profiles:
        numbers = f"{profile.name:{name_width}}  {summary(profile)}"
        about = f"  ({profile.description})" if profile.description else ""
        if not draws:
            console.print(f"{numbers}{about}", markup=False, highlight=False, soft_wrap=True)
            continue
        head = Text.assemble((profile.name, "bold"), numbers[len(profile.name) :], (about, "dim"))
        console.print(head, no_wrap=True, overflow="ellipsis")
        width = max(1, min(_WIDEST, console.width - name_width - 2 * _MARGIN))
        colour = "cyan" if profile.model == "open" else "green"
        console.print(Text(" " * (name_width + _MARGIN) + curve_line(profile, width), style=colour), no_wrap=True)


def as_dict(profile: LoadProfile) -> dict[str, Any]:
    """Return the whole profile with JSON types only, to compare a run with earlier ones."""
    parts = {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(profile).items()}
    del parts["starts"]
    return {**parts, "run_time_s": profile.run_time_s}

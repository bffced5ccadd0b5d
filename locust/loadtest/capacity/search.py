"""Capacity: the search for the highest rate at which a system meets its service-level objective.

The search tries one rate after the other and learns whether the objective was met (`measure` is injected, so the search
itself needs neither a swarm nor a clock):

1. *Coarse climb.* The rate doubles from step to step until the objective is missed twice at the same rate. If the first
rate already misses it, the rate is halved until one meets it.
2. *Bisection with repeats.* Near its limit a system may meet the objective at one time and miss it at another at the
same rate, so a plain bisection, which trusts every answer, could end anywhere. Instead the search keeps a belief, a
probability for each possible limit, updates it with each answer by Bayes' rule, and tries the belief's median next (the
probabilistic bisection of Horstein, 1963; Waeber, Frazier and Henderson, *SIAM J. Control Optim.* 51, 2013). It returns
to rates near the limit by itself, which gives the repeats. An answer at rate r for a limit L is assumed to be "met"
with the probability

       LAPSE + (1 - 2·LAPSE) / (1 + (r/L)^(1/w))

   for widths w of the uncertain region, which are unknown too: from 0.3 % to 6 %, equally likely beforehand. LAPSE is
   the probability that an answer has nothing to do with the rate (another process used the machine). The search never
   tries more than twice the highest rate that met the objective.
3. *End.* The search ends when the 95 % interval of the belief is as narrow as requested, with at least `REPEATS`
answers of each kind near the limit, or after the maximum number of steps.

Steps in which the generator was not fit to measure say nothing about the system. They are repeated; if that does not
help, the search ends there and the result is a lower bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.judging.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

GROWTH: Final = 2.0
LAPSE: Final = 0.02
WIDTHS: Final = (0.003, 0.01, 0.03, 0.06)
"""The widths of the uncertain region, up to twice the observed variation of limits. If the widest observed one were the
upper bound, the belief would trust its answers too much, and the interval would contain the limit in 88 % of such
searches instead of 95 %."""
REPEATS: Final = 2
"""The number of answers of each kind near the limit that the search needs before it can end."""
NEAR: Final = 0.05
"""The distance from the limit, as a fraction of it, that counts as near."""
CREDIBLE: Final = (0.025, 0.5, 0.975)
_GRID: Final = 4001


@dataclass(frozen=True)
class StepResult:
    """One rate and its result. Times are response times in seconds, NaN without responses."""

    rate_per_s: float
    """The requested arrivals per second."""
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    """Each rule with its value, or why the generator was not fit to measure."""
    requests_per_s: float = math.nan
    """Responses per second."""
    p50_s: float = math.nan
    p99_s: float = math.nan
    mean_s: float = math.nan
    concurrency: float = math.nan
    """The mean number of concurrent requests: responses per second times the mean response time (Little's law)."""


class End(Enum):
    """Why a search ended; the value completes "the search ended because"."""

    PRECISE = "the interval is as narrow as requested"
    STEPS = "it reached the maximum number of steps"
    GENERATOR = "the generator was not fit to measure higher rates"
    HIGHEST = "the highest allowed rate met the objective"
    NOTHING = "no rate met the objective"


@dataclass(frozen=True)
class Plan:
    """The parameters of a search."""

    first_rate_per_s: float = 10.0
    lowest_rate_per_s: float = 0.5
    highest_rate_per_s: float = 100_000.0
    precision: float = 0.06
    """Half the width of the 95 % interval at which the search ends, as a fraction of the rate."""
    steps: int = 15
    """The maximum number of steps, including repeated ones."""
    tries: int = 4
    """The number of tries at a rate at which the generator was not fit to measure."""


@dataclass(frozen=True)
class Capacity:
    """The result of a search."""

    end: End
    steps: tuple[StepResult, ...]
    rate_per_s: float
    """The median of the belief; a lower bound if the generator or the highest rate ended the search; 0 if no rate met
    the objective."""
    low_per_s: float
    """The lower end of the 95 % interval."""
    high_per_s: float
    """The upper end of the 95 % interval; infinity for a lower bound."""

    @property
    def is_lower_bound(self) -> bool:
        """Whether the system may sustain more than the result."""
        return math.isinf(self.high_per_s)


def find_capacity(measure: Callable[[float], StepResult], plan: Plan | None = None) -> Capacity:
    """Search for the capacity.

    Args:
        measure: loads the system at the given rate, in arrivals per second, and evaluates the objective.
        plan: the parameters of the search.
    """
    return _Search(measure, plan or Plan()).run()


class Belief:
    """Probabilities of the limit, on a grid of equal ratios, and of the width of the uncertain region."""

    def __init__(self, low_per_s: float, high_per_s: float) -> None:
        """Start with equal probabilities, on a logarithmic scale, from half the low rate to twice the high one."""
        self._logs = np.linspace(math.log(low_per_s / GROWTH), math.log(high_per_s * GROWTH), _GRID)
        self._widths = np.array(WIDTHS)[:, None]
        self._belief = np.full((len(WIDTHS), _GRID), 1.0 / (len(WIDTHS) * _GRID))

    def learn(self, rate_per_s: float, *, kept: bool) -> None:
        """Update the belief with one answer."""
        steepness = np.clip((math.log(rate_per_s) - self._logs) / self._widths, -50, 50)
        likely = LAPSE + (1 - 2 * LAPSE) / (1 + np.exp(steepness))
        self._belief *= likely if kept else 1 - likely
        self._belief /= self._belief.sum()

    def quantiles(self, *parts: float) -> list[float]:
        """Return the rates below which the limit lies with these probabilities."""
        cumulated = np.cumsum(self._belief.sum(axis=0))
        return [float(rate) for rate in np.exp(np.interp(parts, cumulated, self._logs))]


@dataclass
class _Search:
    measure: Callable[[float], StepResult]
    plan: Plan
    steps: list[StepResult] = field(default_factory=list)

    def run(self) -> Capacity:
        end = self._climb()
        return self._bound(end) if end else self._bisect()

    def _climb(self) -> End | None:
        """Find a rate that meets the objective and a higher one that misses it; return why there are not both."""
        rate, kept, broken = self.plan.first_rate_per_s, 0.0, math.inf
        while len(self.steps) < self.plan.steps:
            answer = self._ask(rate)
            if answer is False and len(self.steps) < self.plan.steps:  # a temporary disturbance would mislead the climb
                answer = self._ask(rate)
            if answer is None:
                return self._unanswered()
            if answer:
                kept = max(kept, rate)
            else:
                broken = min(broken, rate)
            if kept and broken < math.inf:
                return None
            if kept >= self.plan.highest_rate_per_s:
                return End.HIGHEST
            if broken <= self.plan.lowest_rate_per_s:
                return End.NOTHING
            rate = min(rate * GROWTH, self.plan.highest_rate_per_s) if answer else rate / GROWTH
            rate = max(rate, self.plan.lowest_rate_per_s)
        return End.STEPS

    def _bisect(self) -> Capacity:
        belief = Belief(self.plan.lowest_rate_per_s, self.plan.highest_rate_per_s)
        for step in self.steps:
            self._learn(belief, step)
        while True:
            low, middle, high = belief.quantiles(*CREDIBLE)
            if high - low <= 2 * self.plan.precision * middle and self._is_repeated(middle):
                return Capacity(End.PRECISE, tuple(self.steps), middle, low, high)
            kept = max(step.rate_per_s for step in self.steps if step.outcome is Outcome.PASSED)
            if self._ask(_rounded(min(middle, GROWTH * kept, self.plan.highest_rate_per_s))) is None:
                return Capacity(self._unanswered(), tuple(self.steps), middle, low, high)
            self._learn(belief, self.steps[-1])

    def _ask(self, rate_per_s: float) -> bool | None:
        """Return whether the objective was met; None if the generator was not fit to measure in any try."""
        for _ in range(min(self.plan.tries, self.plan.steps - len(self.steps))):
            step = self.measure(rate_per_s)
            self.steps.append(step)
            if step.outcome is not Outcome.NOT_TRUSTWORTHY:
                return step.outcome is Outcome.PASSED
        return None

    def _unanswered(self) -> End:
        """Return why the last rate has no answer: too many tries, or no steps left for them."""
        tries = self.steps[-self.plan.tries :]
        unfit = [step.outcome is Outcome.NOT_TRUSTWORTHY for step in tries]
        return End.GENERATOR if len(tries) == self.plan.tries and all(unfit) else End.STEPS

    @staticmethod
    def _learn(belief: Belief, step: StepResult) -> None:
        if step.outcome is not Outcome.NOT_TRUSTWORTHY:
            belief.learn(step.rate_per_s, kept=step.outcome is Outcome.PASSED)

    def _is_repeated(self, limit_per_s: float) -> bool:
        near = [step.outcome for step in self.steps if abs(step.rate_per_s / limit_per_s - 1) <= NEAR]
        kept = near.count(Outcome.PASSED)
        return min(kept, len(near) - near.count(Outcome.NOT_TRUSTWORTHY) - kept) >= REPEATS

    def _bound(self, end: End) -> Capacity:
        """Return what is known if the climb did not end between two rates.

        If a rate missed the objective below one that met it, it was disturbed or the limit varies. Then the belief
        gives the lower end of the interval, and the upper end is unknown.
        """
        kept = max((step.rate_per_s for step in self.steps if step.outcome is Outcome.PASSED), default=0.0)
        broken = [step.rate_per_s for step in self.steps if step.outcome in {Outcome.FAILED, Outcome.NO_DATA}]
        low = kept
        if kept and min(broken, default=math.inf) <= kept:
            belief = Belief(self.plan.lowest_rate_per_s, self.plan.highest_rate_per_s)
            for step in self.steps:
                self._learn(belief, step)
            low = min(kept, *belief.quantiles(CREDIBLE[0]))
        return Capacity(end, tuple(self.steps), kept, low, min((r for r in broken if r > kept), default=math.inf))


def _rounded(rate_per_s: float) -> float:
    """Return a readable rate: four significant digits."""
    return float(f"{rate_per_s:.4g}")

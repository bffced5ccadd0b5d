"""USL: Gunther's Universal Scalability Law, fitted to measured throughput.

    X(N) = gamma·N / (1 + alpha·(N - 1) + beta·N·(N - 1))

N is the load as the number of concurrent requests, X the throughput, gamma the throughput of one request at a time,
alpha the *contention* (waiting for each other: queues, locks), and beta the *coherency* (agreeing with each other:
caches, consensus; with it, more load can reduce throughput). (N. J. Gunther, *Guerrilla Capacity Planning*, Springer,
2007, chapters 4 to 6; "A General Theory of Computational Scalability Based on Rational Functions", arXiv:0808.1431.)

The quotient N/X is linear in the unknowns: N/X = (1 + alpha·(N - 1) + beta·N·(N - 1))/gamma. The fit is the linear
least-squares fit of N/X, with each point weighted by its inverse, so that relative errors count. All fits with some
coefficients left out are tried, and the best of those without a negative coefficient is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_POINTS = 4
"""The minimum number of points for a meaningful fit of three unknowns."""


@dataclass(frozen=True)
class UslFit:
    """The law's coefficients."""

    gamma_per_s: float
    """Throughput at a load of 1, per second."""
    contention: float
    """alpha, 0 or more; dimensionless."""
    coherency: float
    """beta, 0 or more; dimensionless."""
    r_squared: float
    """The share of the throughput's variance that the law explains, at most 1."""

    def throughput_at(self, load: float) -> float:
        """Return X(N)."""
        return self.gamma_per_s * load / (1 + self.contention * (load - 1) + self.coherency * load * (load - 1))

    @property
    def peak_load(self) -> float:
        """The load with the highest throughput, sqrt((1 - alpha)/beta); infinity without coherency."""
        return math.sqrt(max(0.0, 1 - self.contention) / self.coherency) if self.coherency else math.inf

    @property
    def peak_per_s(self) -> float:
        """The highest throughput: at the peak load, or the asymptote gamma/alpha if there is no coherency."""
        if math.isfinite(self.peak_load):
            return self.throughput_at(max(self.peak_load, 1.0))
        return self.gamma_per_s / self.contention if self.contention else math.inf


def fit_usl(loads: Sequence[float], throughputs_per_s: Sequence[float]) -> UslFit | None:
    """Fit the law.

    Args:
        loads: concurrent requests, above 0.
        throughputs_per_s: the throughput at each load, above 0.

    Returns:
        The fit; None with fewer than `MIN_POINTS` usable points, or if all have the same load.
    """
    n, x = np.array(loads, float), np.array(throughputs_per_s, float)
    usable = np.isfinite(n) & np.isfinite(x) & (n > 0) & (x > 0)
    n, x = n[usable], x[usable]
    if len(n) < MIN_POINTS or np.ptp(n) <= 1e-9 * n.max():
        return None
    wanted = n / x
    terms = np.stack((np.ones_like(n), n - 1, n * (n - 1)), axis=1) / wanted[:, None]
    best: Any = None
    for kept in ((0, 1, 2), *combinations(range(3), 2), (0,)):
        if 0 not in kept:
            continue
        found, *_ = np.linalg.lstsq(terms[:, kept], np.ones_like(n), rcond=None)
        if (found < 0).any() or found[0] <= 0:
            continue
        error = float(((terms[:, kept] @ found - 1) ** 2).sum())
        if best is None or error < best[0]:
            coefficients = np.zeros(3)
            coefficients[list(kept)] = found
            best = (error, coefficients)
    if best is None:
        return None
    base, contention, coherency = best[1] / best[1][0]
    fit = UslFit(float(base / best[1][0]), float(contention), float(coherency), 1.0)
    residuals = x - np.array([fit.throughput_at(load) for load in n])
    spread = float(((x - x.mean()) ** 2).sum())
    r_squared = 1 - float((residuals**2).sum()) / spread if spread else 1.0
    return UslFit(fit.gamma_per_s, fit.contention, fit.coherency, r_squared)

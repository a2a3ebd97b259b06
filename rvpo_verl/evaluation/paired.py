"""Paired bootstrap over samples: intervals of scores and of their differences, and p-values.

Shapes: L logs, N samples that all of them have, R resamples. A sample is drawn for all logs at once, so that its
difficulty cancels in the difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rvpo_verl.errors import UserError

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""(..., N) samples to (...) a score."""

RESAMPLES = 10_000
LEVEL = 0.95
CELLS = 4_000_000
"""Values resampled at once; more costs memory and saves little time."""


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Between a log and the first one."""

    interval: Interval
    p: float
    """Two-sided, for no difference; with 6 samples or more it is below 0.05 where the 95% interval excludes 0."""


@dataclass(frozen=True)
class Compared:
    samples: int
    scores: list[Interval]
    """Of each log."""
    differences: list[Difference]
    """Of each log but the first."""


def mean(values: Values) -> Values:
    means: Values = values.mean(axis=-1)
    return means


def clipped_mean(values: Values) -> Values:
    """HealthBench's score: the mean over samples, some of which may be negative, clipped to 0 to 1."""
    clipped: Values = np.clip(values.mean(axis=-1), 0.0, 1.0)
    return clipped


def compare(
    values_LN: Values, statistic: Statistic = mean, *, resamples: int = RESAMPLES, seed: int = 0
) -> Compared:
    """
    The score is computed on every resample, so that clipping is part of it. The p-value is twice the smaller of the
    shares of resamples whose difference is at most, or at least, 0, with the observed samples counted as one more
    resample: never 0, and 1 where nothing differs. It is not below 2^(1-N) either, the smallest two-sided p-value
    that the signs of N differences can give: all resamples of two samples may agree, which is little evidence.

    Raises:
        UserError: no samples, or a value that is not finite.
    """
    values_LN = np.asarray(values_LN, dtype=np.float64)
    logs, samples = values_LN.shape
    if not samples or not np.isfinite(values_LN).all():
        raise UserError(
            f"scores of shape {values_LN.shape} (logs, samples): expected at least one sample, all scores finite"
        )

    def scores_and_differences(*values: Values, axis: int) -> Values:
        scores = np.stack([statistic(np.moveaxis(one, axis, -1)) for one in values])
        return np.concatenate([scores, scores[1:] - scores[0]])

    observed = scores_and_differences(*values_LN, axis=-1)
    low, high, drawn_R = observed, observed, np.repeat(observed[:, None], resamples, axis=1)
    if samples > 1:  # the resamples of a single sample are all the same, and scipy refuses them
        result = stats.bootstrap(
            tuple(values_LN),
            scores_and_differences,
            n_resamples=resamples,
            batch=max(1, CELLS // values_LN.size),
            paired=True,
            vectorized=True,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
        low, high = result.confidence_interval
        drawn_R = result.bootstrap_distribution
    intervals = [Interval(*map(float, bounds)) for bounds in zip(observed, low, high, strict=True)]
    least = 2.0 ** (1 - samples)
    p_values = [max(_p_value(differences_R), least) for differences_R in drawn_R[logs:]]
    return Compared(
        samples=samples,
        scores=intervals[:logs],
        differences=[Difference(*each) for each in zip(intervals[logs:], p_values, strict=True)],
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several tests, which scipy does not have."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    values: list[float] = corrected.tolist()
    return values


def _p_value(differences_R: Values) -> float:
    at_most, at_least = (differences_R <= 0).sum(), (differences_R >= 0).sum()
    return float(min(1.0, 2 * (1 + min(at_most, at_least)) / (1 + len(differences_R))))

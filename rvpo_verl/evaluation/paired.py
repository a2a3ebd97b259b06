"""Paired bootstrap over samples: intervals of scores and of their differences, and p-values.

Shapes: L logs, N samples that all of them have, R resamples. A sample is drawn for all logs at once, so that what
makes it hard or easy cancels in the difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""(..., N) samples to (...) a score."""

RESAMPLES = 10_000
LEVEL = 0.95
CELLS = 4_000_000
"""Drawn at once; more only costs memory."""


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Of a log to the first."""

    interval: Interval
    p: float
    """Two-sided, of no difference; from 6 samples on below 0.05 where the 95% interval leaves out 0."""


@dataclass(frozen=True)
class Compared:
    samples: int
    scores: list[Interval]
    """Of each log."""
    differences: list[Difference]
    """Of each log but the first."""


def mean(values: Values) -> Values:
    return values.mean(axis=-1)


def clipped_mean(values: Values) -> Values:
    """HealthBench's score: a sample's may be negative, the mean is cut to 0 to 1."""
    return np.clip(values.mean(axis=-1), 0.0, 1.0)


def compare(
    values_LN: Values, statistic: Statistic = mean, *, resamples: int = RESAMPLES, seed: int = 0
) -> Compared:
    """
    The score itself is computed anew on every resample, so that a cut at 0 is one there too. The p-value is twice
    the smaller share of resamples whose difference is at most, or at least, 0, the observed samples counted with
    them: never 0, and 1 where nothing differs. Nor is it below 2^(1-N), the least that the signs of N differences can
    say: all resamples of two samples may agree, which means little.

    Raises:
        ValueError: no samples, or a value that is not finite.
    """
    values_LN = np.asarray(values_LN, dtype=np.float64)
    logs, samples = values_LN.shape
    if not samples or not np.isfinite(values_LN).all():
        raise ValueError(
            f"values of shape {values_LN.shape}: expected at least one sample, all values finite"
        )
    scores_L = statistic(values_LN)
    drawn_LR = _draw(values_LN, statistic, resamples, seed)
    drawn_differences_LR = drawn_LR - drawn_LR[0]
    return Compared(
        samples=samples,
        scores=[_interval(scores_L[log], drawn_LR[log]) for log in range(logs)],
        differences=[
            Difference(
                _interval(scores_L[log] - scores_L[0], drawn_differences_LR[log]),
                max(_p_value(drawn_differences_LR[log]), 2.0 ** (1 - samples)),
            )
            for log in range(1, logs)
        ],
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for testing several at once."""
    order = np.argsort(p_values)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _draw(values_LN: Values, statistic: Statistic, resamples: int, seed: int) -> Values:
    """(L, R) the statistic of each log on the same resamples."""
    logs, samples = values_LN.shape
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS // (logs * samples))
    parts = []
    for start in range(0, resamples, at_once):
        chosen_RN = rng.integers(samples, size=(min(at_once, resamples - start), samples))
        parts.append(statistic(values_LN[:, chosen_RN]))
    return np.concatenate(parts, axis=1)


def _interval(value: float, drawn_R: Values) -> Interval:
    low, high = np.quantile(drawn_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def _p_value(differences_R: Values) -> float:
    at_most, at_least = (differences_R <= 0).sum(), (differences_R >= 0).sum()
    return float(min(1.0, 2 * (1 + min(at_most, at_least)) / (1 + len(differences_R))))

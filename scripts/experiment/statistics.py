"""Figures of a run, their intervals, and paired comparisons.

A *cell* is one method on one task under one setting; its runs differ in checkpoint and seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiment import tasks
from experiment.loop import FINAL_SAMPLES
from experiment.prompts import evaluation, in_conflict
from experiment.results import Result

RESAMPLES = 2000
REACHED = 0.9
"""Share of what is attainable, from the reward's lowest value, at which a reward counts as learned."""
LAST = 3
"""Evaluations averaged for a value at a time: one alone rests on 64 answers."""


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float
    high: float


def met(result: Result) -> float:
    """Share of the final held-out answers that meet all constraints."""
    return float(np.mean(result.outcome.final_met)) / FINAL_SAMPLES


def met_in_conflict(result: Result) -> float:
    chosen = in_conflict(evaluation()).numpy()
    return float(np.mean(np.array(result.outcome.final_met)[chosen])) / FINAL_SAMPLES


def attained(result: Result, values: Sequence[Any] | None = None) -> np.ndarray:
    """Rewards as a share of the way from their lowest value to the ideal answers' value.

    Args:
        values: (..., M); (E, M), the run's evaluations, if left out.
    """
    task = tasks.task(result.run.task, result.run.rewards)
    low_M, high_M = np.array(task.lowest), task.ideal_rewards(evaluation()).mean(dim=0).numpy()
    shares: np.ndarray = (np.array(result.outcome.rewards if values is None else values) - low_M) / (
        high_M - low_M
    )
    return shares


def final_attained(result: Result) -> np.ndarray:
    """(M,) the same of the final answers."""
    return attained(result, result.outcome.final_rewards)


def lowest_attained(result: Result) -> float:
    return float(final_attained(result).min())


def steps_to_reach(result: Result, rewards: Sequence[str] | None = None) -> float:
    """First step at which the rewards, all if left out, are at REACHED over LAST evaluations; inf if there is none."""
    names = tasks.task(result.run.task, result.run.rewards).rewards
    columns = [names.index(name) for name in rewards or names]
    reached_E = (smooth(attained(result))[:, columns] >= REACHED).all(axis=1)
    return float(result.outcome.steps[reached_E.argmax()]) if reached_E.any() else float("inf")


def late_collapse(result: Result) -> float:
    """Best share meeting all constraints minus the final one, both over LAST evaluations."""
    curve = smooth(np.array(result.outcome.met)[:, None])[:, 0]
    return float(curve.max() - curve[-1])


def smooth(curve_EM: np.ndarray) -> np.ndarray:
    """Mean over LAST evaluations, the current one and those before it."""
    padded = np.concatenate([curve_EM[:1]] * (LAST - 1) + [curve_EM])
    means: np.ndarray = np.mean([padded[i : i + len(curve_EM)] for i in range(LAST)], axis=0)
    return means


def bootstrap(results: Sequence[Result], figure: Callable[[Result], float], seed: int = 0) -> Interval:
    """95% interval of a figure's mean: seeds are drawn again, within each checkpoint."""
    values = np.array([figure(result) for result in results])
    rng, strata = np.random.default_rng(seed), _checkpoints(results)
    drawn = [values[_redraw(strata, rng)].mean() for _ in range(RESAMPLES)]
    return Interval(float(values.mean()), *map(float, np.percentile(drawn, [2.5, 97.5])))


def bootstrap_met(results: Sequence[Result], seed: int = 0) -> Interval:
    """95% interval of the share meeting all constraints: seeds *and* held-out prompts are drawn again.

    Seeds within each checkpoint and prompts within those in conflict and the others, whose numbers are fixed.
    """
    met_RP = np.array([result.outcome.final_met for result in results]) / FINAL_SAMPLES
    conflict_P = in_conflict(evaluation()).numpy()
    kinds = [np.flatnonzero(conflict_P), np.flatnonzero(~conflict_P)]
    rng, strata = np.random.default_rng(seed), _checkpoints(results)
    drawn = [met_RP[np.ix_(_redraw(strata, rng), _redraw(kinds, rng))].mean() for _ in range(RESAMPLES)]
    return Interval(float(met_RP.mean()), *map(float, np.percentile(drawn, [2.5, 97.5])))


def _checkpoints(results: Sequence[Result]) -> list[np.ndarray]:
    numbers = np.array([result.run.checkpoint for result in results])
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]


def _redraw(strata: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """As many of each stratum, with replacement."""
    return np.concatenate([stratum[rng.integers(len(stratum), size=len(stratum))] for stratum in strata])


@dataclass(frozen=True)
class Comparison:
    pairs: int
    difference: float
    """Mean of the second method minus the first."""
    p: float
    """Wilcoxon's signed-rank test, two-sided; 1 where all pairs are equal."""


def compare(
    first: Sequence[Result], second: Sequence[Result], figure: Callable[[Result], float]
) -> Comparison:
    """Paired by checkpoint and seed: those runs saw the same prompts and the same random numbers.

    Raises:
        ValueError: no pairs.
    """
    from scipy.stats import wilcoxon

    of_first, of_second = (
        {(result.run.checkpoint, result.run.seed): figure(result) for result in runs}
        for runs in (first, second)
    )
    shared = sorted(of_first.keys() & of_second.keys())
    if not shared:
        raise ValueError("no pair of runs has the same checkpoint and seed")
    difference = np.array([of_second[pair] - of_first[pair] for pair in shared])
    p = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
    return Comparison(len(shared), float(difference.mean()), p)

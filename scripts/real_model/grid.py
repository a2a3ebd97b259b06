"""Which runs are made, in which order: first the learning rate, on GDPO alone; then the methods, seed by seed."""

from pathlib import Path
from typing import Any

import numpy as np

from real_model.results import File, Run

UNTRAINED = Run("gdpo", 0, 0.0, 0)
LEARNING_RATES = (5e-5, 1e-4, 2e-5)
LEARNING_RATE_STEPS = 30
LEARNING_RATE_SEED = 100
STEPS = 100
FIRST, SEEDS_FIRST = ("gdpo", "k2", "bonus"), 3
REST, SEEDS_REST = ("grpo", "k1", "paper"), 2
FLUENT, SEEDS_FLUENT = ("gdpo_fluent", "k2_fluent"), 2


def learning_rate_runs() -> list[Run]:
    return [
        Run("gdpo", LEARNING_RATE_SEED, rate, LEARNING_RATE_STEPS, "validation") for rate in LEARNING_RATES
    ]


def comparison_runs(learning_rate: float) -> list[Run]:
    """GDPO, RVPO and the bonus before the others."""
    return [
        Run(method, seed, learning_rate, STEPS)
        for methods, seeds in ((FIRST, SEEDS_FIRST), (REST, SEEDS_REST), (FLUENT, SEEDS_FLUENT))
        for seed in range(1, seeds + 1)
        for method in methods
    ]


def wanted(folder: Path) -> list[Run]:
    """Those that can be made now: the methods wait for the learning rate."""
    rate = chosen_learning_rate(folder)
    return [UNTRAINED, *(learning_rate_runs() if rate is None else comparison_runs(rate))]


def chosen_learning_rate(folder: Path) -> float | None:
    """That with which GDPO meets most constraints at the end, on prompts that are used for nothing else.

    Returns:
        None while a run is not finished.
    """
    files = [File(folder, run) for run in learning_rate_runs()]
    if not all(file.finished() for file in files):
        return None
    return max(files, key=lambda file: share_of_constraints(file.evaluations()[-1])).run.learning_rate


def share_of_constraints(evaluation: dict[str, Any]) -> float:
    """Mean over answers of the share of constraints met."""
    return float(np.mean([each.count("1") / len(each) for each in evaluation["met"]]))

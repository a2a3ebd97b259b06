"""How often the run-time warnings of rvpo_verl.core.monitor would have been right, on the recorded runs."""

import statistics as stdlib
from collections.abc import Sequence
from dataclasses import dataclass

from experiment import statistics as stats
from experiment import tasks
from experiment.prompts import evaluation
from experiment.results import Result
from rvpo_verl.core.monitor import WINDOW, Monitor

LOST, SOLVED = 0.6, 0.9
"""Share of what is attainable below which a reward is lost at the end; at which a run has solved its task."""


@dataclass(frozen=True)
class Accuracy:
    lost: int
    """Runs that ended with a reward lost."""
    reported: int
    """Of those, runs in which the monitor named this reward."""
    when: float
    """Median step at which it was named first."""
    solved: int
    """Runs that met all constraints with nearly all of their answers."""
    false_alarms: int
    """Of those, runs in which the monitor named some reward."""


def accuracy(results: Sequence[Result]) -> Accuracy:
    lost = reported = solved = false_alarms = 0
    steps = []
    for result in results:
        named = replay(result)
        names = tasks.task(result.run.task, result.run.rewards).rewards
        final = dict(zip(names, stats.final_attained(result), strict=True))
        worst = min(final, key=final.__getitem__)
        if final[worst] < LOST:
            lost += 1
            if worst in named:
                reported += 1
                steps.append(named[worst])
        elif stats.met(result) >= SOLVED:
            solved += 1
            false_alarms += bool(named)
    return Accuracy(lost, reported, stdlib.median(steps) if steps else float("nan"), solved, false_alarms)


def replay(result: Result) -> dict[str, int]:
    """Step at which each reward is first reported as frozen or neglected.

    A run was recorded every few steps: what lies between is taken to be as at the next record.
    """
    task = tasks.task(result.run.task, result.run.rewards)
    best = task.ideal_rewards(evaluation()).amax(dim=0).tolist()
    monitor = Monitor()
    named: dict[str, int] = {}
    outcome = result.outcome
    # Shares of constant groups are over the steps before a record: there are hardly any before the first.
    constants = [outcome.constant[1], *outcome.constant[1:]]
    for step, means, constant in zip(outcome.steps, outcome.rewards, constants, strict=True):
        metrics: dict[str, float] = {}
        for name, mean, share, high, low in zip(
            task.rewards, means, constant, best, task.lowest, strict=True
        ):
            metrics |= {
                f"rvpo/{name}/mean": mean, f"rvpo/{name}/constant_groups": share,
                f"rvpo/{name}/best": high, f"rvpo/{name}/worst": low,
            }  # fmt: skip
        for _ in range(WINDOW):
            flags, _lines = monitor.observe(metrics)
        for key, value in flags.items():
            if value:
                named.setdefault(key.split("/")[1], max(step, WINDOW))
    return named

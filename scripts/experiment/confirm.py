"""How far the runs through verl's launcher say what the loop's runs say, as tables.

A launcher's cell is compared with the loop's of the same task and method, from the checkpoint of `COUNTERPART`.
"""

import statistics as stdlib
from collections.abc import Sequence

from experiment import statistics as stats
from experiment.cells import Cells
from experiment.grid import CONFIRMED
from experiment.methods import METHODS
from experiment.results import Result
from experiment.tables import interval, markdown, reward_columns, reward_means

CONFIRMS, PARTLY, NOT = "confirmed", "in part", "not confirmed"
DIFFERS = 0.1
"""Difference between two shares that counts as one."""
COUNTERPART = {0: 0, 1: 1, 3: 1}
"""The loop's checkpoint for each of the launcher's (`qwen.TAUGHT`)."""


class Confirmed:
    """Runs of the loop and of the launcher, side by side."""

    def __init__(self, loop: Cells, launcher: Sequence[Result]) -> None:
        self._loop, self._launcher = loop, Cells(launcher) if launcher else None

    def loop(self, task: str, method: str, checkpoint: int) -> list[Result]:
        return [r for r in self._loop(task, method) if r.run.checkpoint == COUNTERPART[checkpoint]]

    def launcher(self, task: str, method: str, checkpoint: int) -> list[Result]:
        runs = self._launcher(task, method) if self._launcher else []
        return [r for r in runs if r.run.checkpoint == checkpoint]


def task_table(confirmed: Confirmed, task: str) -> str:
    """Where the launcher's runs start, and where each method ends: in the loop, then in the launcher."""
    columns = reward_columns(task)
    body = []
    for checkpoint, methods in [(number, methods) for name, number, methods in CONFIRMED if name == task]:
        cells = {method: confirmed.launcher(task, method, checkpoint) for method in methods}
        runs = [run for cell in cells.values() for run in cell]
        if not runs:
            continue
        met = f"{stdlib.fmean(run.outcome.met[0] for run in runs):.2f}"
        first = reward_means([run.outcome.rewards[0] for run in runs], columns)
        body.append([str(checkpoint), "before training", "launcher", "", met, *first])
        for method, cell in cells.items():
            for side, found in (("loop", confirmed.loop(task, method, checkpoint)), ("launcher", cell)):
                if found:
                    final = reward_means([run.outcome.final_rewards for run in found], columns)
                    label, share = METHODS[method].label, interval(stats.bootstrap_met(found))
                    number = str(found[0].run.checkpoint)
                    body.append([number, label, side, str(len(found)), share, *final])
    head = ["checkpoint", "method", "trained by", "runs", "meets all", *columns]
    return markdown(head, body)


def pair_table(confirmed: Confirmed) -> str:
    """Whether the difference that the loop shows between two methods is there in each seed of the launcher's."""
    body = []
    for task, checkpoint, (first, second) in CONFIRMED:
        loop = [confirmed.loop(task, method, checkpoint) for method in (first, second)]
        seeds = _by_seed(*(confirmed.launcher(task, method, checkpoint) for method in (first, second)))
        if not seeds or not all(loop):
            continue
        before, after = (stdlib.fmean(map(stats.met, runs)) for runs in loop)
        agree = [_sign(value) == _sign(after - before) for value in seeds]
        verdict = CONFIRMS if all(agree) else PARTLY if any(agree) else NOT
        change = f"{METHODS[first].label} → {METHODS[second].label}"
        by_seed = ", ".join(f"{value:+.2f}" for value in seeds)
        body.append([task, str(checkpoint), change, f"{after - before:+.2f}", by_seed, f"**{verdict}**"])
    return markdown(["task", "checkpoint", "change of the share", "loop", "launcher, by seed", ""], body)


def _by_seed(first: Sequence[Result], second: Sequence[Result]) -> list[float]:
    shares = [{result.run.seed: stats.met(result) for result in runs} for runs in (first, second)]
    return [shares[1][seed] - shares[0][seed] for seed in sorted(shares[0].keys() & shares[1].keys())]


def _sign(difference: float) -> int:
    return 0 if abs(difference) < DIFFERS else 1 if difference > 0 else -1

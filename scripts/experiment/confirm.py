"""How far the runs through verl's launcher say what the loop's runs say, as tables.

A launcher's cell is compared with the loop's of the same task, method and checkpoint.
"""

import statistics as stdlib
from collections.abc import Sequence
from itertools import groupby

from experiment import statistics as stats
from experiment import tasks
from experiment.cells import Cells
from experiment.grid import CONFIRMED
from experiment.methods import METHODS
from experiment.results import Result
from experiment.tables import interval, markdown

CONFIRMS, PARTLY, NOT = "confirmed", "in part", "not confirmed"
DIFFERS = 0.1
"""Difference between two shares that counts as one."""
PAIRS = (
    ("shortcut", "gdpo", "k5+c"),
    ("shortcut", "gdpo", "rising"),
    ("discovery", "k2+c", "guarded2"),
    ("discovery", "k2+c", "gdpo"),
)
"""Task, and two methods whose difference is to be confirmed."""


class Confirmed:
    """Runs of the loop and of the launcher, side by side."""

    def __init__(self, loop: Cells, launcher: Sequence[Result]) -> None:
        self._sides = {"loop": loop, "launcher": Cells(launcher)} if launcher else {"loop": loop}

    def __call__(self, side: str, task: str, method: str) -> list[Result]:
        """Runs from the checkpoint that the launcher trains this task from; none if there are none."""
        (checkpoint,) = {number for name, number, _ in CONFIRMED if name == task}
        cells = self._sides.get(side)
        return [r for r in cells(task, method) if r.run.checkpoint == checkpoint] if cells else []


def task_table(confirmed: Confirmed, task: str) -> str:
    """Start and end of each method: the loop's line, then the launcher's."""
    names = tasks.task(task).rewards
    columns = [(kind, [i for i, name in enumerate(names) if _kind(name) == kind]) for kind in _kinds(names)]
    methods = [method for name, _, some in CONFIRMED if name == task for method in some]
    body = [
        _line(METHODS[method].label, side, str(len(runs)), stats.bootstrap_met(runs), _final(runs), columns)
        for method in methods
        if confirmed("launcher", task, method)
        for side in ("loop", "launcher")
        if (runs := confirmed(side, task, method))
    ]
    runs = [run for method in methods for run in confirmed("launcher", task, method)]
    if runs:
        first = [stdlib.fmean(column) for column in zip(*(r.outcome.rewards[0] for r in runs), strict=True)]
        met = stdlib.fmean(r.outcome.met[0] for r in runs)
        body.insert(0, _line("before training", "launcher", "", met, first, columns))
    return markdown(["method", "trained by", "runs", "meets all", *(kind for kind, _ in columns)], body)


def pair_table(confirmed: Confirmed) -> str:
    """Whether each difference is there in both, seed by seed of the launcher's."""
    body = []
    for task, first, second in PAIRS:
        loop = _difference(confirmed("loop", task, first), confirmed("loop", task, second))
        seeds = _by_seed(confirmed("launcher", task, first), confirmed("launcher", task, second))
        if not seeds or loop is None:
            continue
        agree = [_sign(value) == _sign(loop) for value in seeds]
        verdict = CONFIRMS if all(agree) else PARTLY if any(agree) else NOT
        label = f"{METHODS[first].label} → {METHODS[second].label}"
        by_seed = ", ".join(f"{value:+.2f}" for value in seeds)
        body.append([task, label, f"{loop:+.2f}", by_seed, f"**{verdict}**"])
    return markdown(["task", "change", "loop", "launcher, by seed", ""], body)


def _difference(first: Sequence[Result], second: Sequence[Result]) -> float | None:
    if not first or not second:
        return None
    return stdlib.fmean(map(stats.met, second)) - stdlib.fmean(map(stats.met, first))


def _by_seed(first: Sequence[Result], second: Sequence[Result]) -> list[float]:
    shares = [{result.run.seed: stats.met(result) for result in runs} for runs in (first, second)]
    return [shares[1][seed] - shares[0][seed] for seed in sorted(shares[0].keys() & shares[1].keys())]


def _sign(difference: float) -> int:
    return 0 if abs(difference) < DIFFERS else 1 if difference > 0 else -1


def _final(runs: Sequence[Result]) -> list[float]:
    return [stdlib.fmean(column) for column in zip(*(r.outcome.final_rewards for r in runs), strict=True)]


def _line(
    label: str,
    side: str,
    runs: str,
    met: stats.Interval | float,
    rewards: Sequence[float],
    columns: Sequence[tuple[str, Sequence[int]]],
) -> list[str]:
    share = interval(met) if isinstance(met, stats.Interval) else f"{met:.2f}"
    return [
        label,
        side,
        runs,
        share,
        *(f"{stdlib.fmean(rewards[i] for i in some):.2f}" for _, some in columns),
    ]


def _kind(name: str) -> str:
    """Judges, which are alike, are averaged."""
    return "judges" if name.startswith("judge") else name


def _kinds(names: Sequence[str]) -> list[str]:
    return [kind for kind, _ in groupby(names, key=_kind)]

"""The report's tables, as Markdown."""

import math
import statistics as stdlib
from collections.abc import Callable, Sequence

from experiment import statistics as stats
from experiment import tasks
from experiment.cells import Cells
from experiment.grid import PROTOTYPES, TASKS
from experiment.methods import METHODS
from experiment.results import Result
from rvpo_verl.evaluation.paired import holm

BASELINE = "gdpo"
NOTHING = "–"


def main_table(cells: Cells, task: str) -> str:
    methods = cells.methods(task)
    compared = [name for name in methods if name not in (BASELINE, *PROTOTYPES) and cells(task, BASELINE)]
    tests = {name: stats.compare(cells(task, BASELINE), cells(task, name), stats.met) for name in compared}
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    rows = []
    for name in methods:
        runs = cells(task, name)
        test = f"{tests[name].difference:+.2f} ({p_value(corrected[name])})" if name in tests else NOTHING
        rows.append(
            [
                METHODS[name].label,
                str(len(runs)),
                interval(stats.bootstrap_met(runs)),
                by_checkpoint(runs),
                interval(stats.bootstrap(runs, stats.lowest_attained)),
                steps(runs),
                interval(stats.bootstrap(runs, stats.late_collapse)),
                test,
            ]
        )
    head = [
        "method", "runs", "meets all", "by checkpoint", "lowest reward", "steps to 90%", "late collapse",
        "vs GDPO (p)",
    ]  # fmt: skip
    return markdown(head, rows)


PAIRS = (
    ("k2", "k2+c"), ("k5", "k5+c"), ("k2+c", "k2+c+drop"), ("k2+c", "adaptive"), ("rising", "falling"),
    ("k2", "falling"), ("k2+c", "guarded2"), ("k5+c", "guarded5"), ("gdpo", "guarded5"), ("guarded2", "guarded5"),
)  # fmt: skip


def pair_table(cells: Cells) -> str:
    """What each change does to the share meeting all constraints, and to correctness where all learn it slowly."""

    def change(task: str, pair: tuple[str, str], figure: Callable[[Result], float]) -> str:
        first, second = (cells(task, name) for name in pair)
        test = stats.compare(first, second, figure)
        return f"{test.difference:+.2f} ({p_value(test.p)})"

    rows = [
        [
            f"{METHODS[first].label} → {METHODS[second].label}",
            change("shortcut", (first, second), stats.met),
            change("discovery", (first, second), stats.met),
            change("discovery", (first, second), _correct),
            change("tradeoff", (first, second), _correct),
        ]
        for first, second in PAIRS
        if all(cells(task, name) for task in TASKS for name in (first, second))
    ]
    head = ["change", "shortcut, all", "discovery, all", "discovery, correct", "tradeoff, correct"]
    return markdown(head, rows)


def _correct(result: Result) -> float:
    """Final correctness, -3 to 3."""
    names = tasks.task(result.run.task, result.run.rewards).rewards
    return result.outcome.final_rewards[names.index("correct")]


def reward_table(cells: Cells, task: str) -> str:
    """Final mean of each reward."""
    columns = reward_columns(task)
    rows = [
        [METHODS[name].label, *reward_means([r.outcome.final_rewards for r in cells(task, name)], columns)]
        for name in cells.methods(task)
    ]
    return markdown(["method", *columns], rows)


def reward_columns(task: str) -> dict[str, list[int]]:
    """Heading and indices of the rewards of a task; judges, which are alike, share a column."""
    columns: dict[str, list[int]] = {}
    for index, name in enumerate(tasks.task(task).rewards):
        columns.setdefault("judges" if name.startswith("judge") else name, []).append(index)
    return columns


def reward_means(rewards: Sequence[Sequence[float]], columns: dict[str, list[int]]) -> list[str]:
    means = [stdlib.fmean(column) for column in zip(*rewards, strict=True)]
    return [f"{stdlib.fmean(means[i] for i in indices):.2f}" for indices in columns.values()]


def setting_table(cells: Cells, task: str, name: str, values: Sequence[object]) -> str:
    """Share meeting all constraints of each method, a column for each value of one setting."""
    rows = [
        [
            METHODS[method].label,
            *(
                f"{interval(stats.bootstrap_met(runs))} ({len(runs)})" if runs else NOTHING
                for runs in columns
            ),
        ]
        for method, columns in cells.by_setting(task, name, values).items()
    ]
    return markdown(["method", *(f"{name} = {value}" for value in values)], rows)


def cell_table(
    rows: Sequence[tuple[str, Sequence[Result]]], figures: dict[str, Callable[[Result], float]]
) -> str:
    """Named cells and some figures of each."""
    body = [
        [label, str(len(runs)), *(interval(stats.bootstrap(runs, figure)) for figure in figures.values())]
        for label, runs in rows
        if runs
    ]
    return markdown(["", "runs", *figures], body)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "*No runs.*"
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(value: stats.Interval) -> str:
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"


def by_checkpoint(runs: Sequence[Result]) -> str:
    found = sorted({result.run.checkpoint for result in runs})
    means = [stdlib.fmean(stats.met(r) for r in runs if r.run.checkpoint == number) for number in found]
    return " / ".join(f"{mean:.2f}" for mean in means)


def steps(runs: Sequence[Result]) -> str:
    """Median over the runs that get there, and how many do."""
    reached = [value for value in map(stats.steps_to_reach, runs) if math.isfinite(value)]
    return f"{stdlib.median(reached):.0f} ({len(reached)} of {len(runs)})" if reached else "never"


def p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"

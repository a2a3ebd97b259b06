"""The paper's claims, each with a rule that the results either follow or do not."""

import math
import statistics as stdlib
from collections.abc import Callable
from dataclasses import dataclass

from experiment import statistics as stats
from experiment.cells import Cells
from experiment.grid import TASKS
from experiment.methods import METHODS
from experiment.results import Result
from experiment.tables import p_value

REPRODUCED, NOT, PARTLY, UNTESTED = "reproduced", "not reproduced", "in part", "not testable here"
MISSING = "no such runs among these results"
LEVEL = 0.05
FEWEST_PAIRS = 6
"""Of which Wilcoxon's test can give a p below LEVEL at all."""
COLLAPSE = 0.1
"""Fall of the share meeting all constraints from its best that counts as a collapse."""


@dataclass(frozen=True)
class Claim:
    text: str
    verdict: str
    evidence: str


def claims(cells: Cells) -> list[Claim]:
    return [
        _neglect(cells),
        _better(cells, "RVPO with k from 0.5 to 2 keeps what GDPO neglects", "rising", "gdpo"),
        _better(cells, "RVPO with a fixed k = 2 does", "k2", "gdpo"),
        _collapse(cells),
        _aggressive(cells),
        _better(cells, "softmin is better than the explicit variance penalty", "k2", "variance"),
        _speed(cells),
        _settings(cells),
        _judge(cells),
        Claim("HealthBench, GPQA-Diamond and BFCL at 1.5B to 14B parameters", UNTESTED, "no such model here"),
        Claim(
            "under 1% more training time", UNTESTED, "a tiny policy says nothing about a large one's share"
        ),
    ]


def _neglect(cells: Cells) -> Claim:
    runs = cells("shortcut", "gdpo")

    def safe(result: Result, at: int) -> float:
        return result.outcome.rewards[at][2]

    def judge(result: Result, at: int) -> float:
        return result.outcome.rewards[at][3]

    fell = [r for r in runs if safe(r, -1) < safe(r, 0) - 0.1 and judge(r, -1) > judge(r, 0) + 0.1]
    evidence = (
        f"shortcut: in {len(fell)} of {len(runs)} runs `safe` fell while the judges rose "
        f"({_mean(runs, lambda r: safe(r, 0))} to {_mean(runs, lambda r: safe(r, -1))}, "
        f"judges {_mean(runs, lambda r: judge(r, 0))} to {_mean(runs, lambda r: judge(r, -1))})"
    )
    return Claim(
        "under GDPO a success on one reward pays for a failure on another", _all(fell, runs), evidence
    )


def _collapse(cells: Cells) -> Claim:
    runs = [r for r in cells.results if r.run.method in ("grpo", "gdpo") and r.outcome.met]
    long = [r for r in runs if r.run.steps == max(item.run.steps for item in runs)]
    ours = [r for r in cells.results if METHODS[r.run.method].paper and r.run.method not in ("grpo", "gdpo")]
    fell, ours_fell = ([r for r in part if stats.late_collapse(r) > COLLAPSE] for part in (runs, ours))
    longest = max((stats.late_collapse(r) for r in long), default=0.0)
    evidence = (
        f"GRPO, GDPO: {len(fell)} of {len(runs)} runs lost more than {COLLAPSE} of their best share; the paper's RVPO "
        f"forms: {len(ours_fell)} of {len(ours)}; the largest loss of GRPO and GDPO in {long[0].run.steps} steps was "
        f"{longest:.2f}"
    )
    verdict = NOT if len(fell) * 10 < len(runs) else REPRODUCED
    return Claim("late in training the baselines collapse and RVPO does not", verdict, evidence)


def _aggressive(cells: Cells) -> Claim:
    """The paper: k = 5 is 0.241 at best and 0.095 at the end, hard-min ends at 0."""
    parts, worse = [], 0
    text = "starting with a large k, or the minimum, ends worse than raising k"
    if not all(cells("shortcut", name) for name in ("rising", "k5", "min")):
        return Claim(text, UNTESTED, MISSING)
    for name in ("k5", "min"):
        test = stats.compare(cells("shortcut", "rising"), cells("shortcut", name), stats.met)
        worse += test.difference < 0 and test.p < LEVEL
        parts.append(f"{METHODS[name].label} against k 0.5 to 2 {test.difference:+.2f} ({p_value(test.p)})")
    verdict = REPRODUCED if worse == 2 else PARTLY if worse else NOT
    if test.pairs < FEWEST_PAIRS:
        verdict = UNTESTED
    return Claim(text, verdict, "shortcut: " + "; ".join(parts))


def _speed(cells: Cells) -> Claim:
    """Format and correctness, which are the paper's two tool-calling rewards."""
    parts, faster, pairs = [], 0, 0
    for task in TASKS:
        if not cells(task, "gdpo") or not cells(task, "rising"):
            continue
        test = stats.compare(cells(task, "gdpo"), cells(task, "rising"), _steps_of_tool_calling)
        faster += test.difference < 0 and test.p < LEVEL
        parts.append(f"{task} {test.difference:+.0f} steps ({p_value(test.p)})")
        pairs = max(pairs, test.pairs)
    verdict = REPRODUCED if faster == len(parts) else PARTLY if faster else NOT
    if pairs < FEWEST_PAIRS:
        verdict, parts = UNTESTED, parts or [MISSING]
    text = "format and correctness reach their level sooner than under GDPO (k 0.5 to 2)"
    return Claim(text, verdict, "both at 90%: " + ", ".join(parts))


def _settings(cells: Cells) -> Claim:
    def best(**setting: object) -> str:
        share = {
            METHODS[name].label: stdlib.fmean(map(stats.met, runs))
            for name in ("k0.5", "k2", "k5")
            if (runs := [r for r in cells("shortcut", name, **setting) if r.run.checkpoint == 0])
        }
        return ", ".join(f"{label} {value:.2f}" for label, value in share.items())

    shown = {"M = 6": {}, "M = 17": {"rewards": 17}, "G = 4": {"group_size": 4}, "G = 16": {"group_size": 16}}
    found = [f"{name}: {values}" for name, setting in shown.items() if (values := best(**setting))]
    at_6, at_17 = cells("shortcut", "k2"), cells("shortcut", "k2", rewards=17)
    at_6 = [r for r in at_6 if r.run.checkpoint == 0]
    fewer = at_17 and stdlib.fmean(map(stats.met, at_6)) - stdlib.fmean(map(stats.met, at_17)) > 0.1
    verdict = UNTESTED if not at_17 else REPRODUCED if fewer else NOT
    return Claim("the best k depends on M and G", verdict, "; ".join(found))


def _judge(cells: Cells) -> Claim:
    def loss(name: str) -> float | None:
        clean = [r for r in cells("shortcut", name) if r.run.checkpoint == 0]
        noisy = cells("shortcut", name, flipped=0.2)
        return stdlib.fmean(map(stats.met, clean)) - stdlib.fmean(map(stats.met, noisy)) if noisy else None

    text = "a large k amplifies an unreliable judge"
    compared = ("gdpo", "k0.5", "k2", "k5")
    losses = {name: value for name in compared if (value := loss(name)) is not None}
    if len(losses) < len(compared):
        return Claim(text, UNTESTED, "no runs with flipped verdicts")
    evidence = "share lost when a fifth of the verdicts is flipped: " + ", ".join(
        f"{METHODS[name].label} {value:+.2f}" for name, value in losses.items()
    )
    return Claim(text, REPRODUCED if losses["k5"] > losses["k0.5"] + 0.1 else NOT, evidence)


def _better(cells: Cells, text: str, name: str, baseline: str) -> Claim:
    if not cells("shortcut", baseline) or not cells("shortcut", name):
        return Claim(text, UNTESTED, MISSING)
    test = stats.compare(cells("shortcut", baseline), cells("shortcut", name), stats.met)
    by = []
    for checkpoint in sorted({r.run.checkpoint for r in cells("shortcut", name)}):
        pair = [
            stdlib.fmean(stats.met(r) for r in cells("shortcut", method) if r.run.checkpoint == checkpoint)
            for method in (baseline, name)
        ]
        by.append(f"{pair[0]:.2f} → {pair[1]:.2f}")
    evidence = (
        f"shortcut, share meeting all by checkpoint: {', '.join(by)}; {test.difference:+.2f} over {test.pairs} pairs "
        f"({p_value(test.p)})"
    )
    verdict = REPRODUCED if test.difference > 0.02 and test.p < LEVEL else NOT
    return Claim(text, verdict if test.pairs >= FEWEST_PAIRS else UNTESTED, evidence)


def _steps_of_tool_calling(result: Result) -> float:
    """Step at which format and correctness are learned; the run's length where they never are."""
    steps = stats.steps_to_reach(result, ("format", "correct"))
    return steps if math.isfinite(steps) else float(result.run.steps)


def _all(some: list[Result], runs: list[Result]) -> str:
    return REPRODUCED if len(some) == len(runs) else PARTLY if some else NOT


def _mean(runs: list[Result], figure: Callable[[Result], float]) -> str:
    return f"{stdlib.fmean(map(figure, runs)):.2f}"

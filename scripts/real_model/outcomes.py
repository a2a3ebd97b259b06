"""What the evaluations of the runs say, in numbers.

Shapes: S seeds, P prompts.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from real_model import grid, prompts
from real_model.results import File

RESAMPLES = 2000
FOUND, LOST = 0.3, 0.1
"""A kind is found when its share rises by more than FOUND from below LOST, and lost when it falls by more than LOST."""
ON_THE_WAY = 24
"""Held-out prompts that are evaluated along the way too; more are at the end."""
SHORT = 8
"""Words; a shorter answer says next to nothing."""


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Difference:
    mean: float
    p: float
    """Wilcoxon's, on pairs of seed and prompt."""

    def __str__(self) -> str:
        return f"{self.mean:+.3f}, p {'< 0.001' if self.p < 0.001 else f'= {self.p:.3f}'}"


Shares = Callable[[File], np.ndarray]
"""Of a run: for each prompt, the share of its answers that meet all constraints."""


def held_out(file: File) -> np.ndarray:
    evaluation = file.evaluations()[-1]
    shares: np.ndarray = _all_met(evaluation["met"]).reshape(-1, evaluation["answers_each"]).mean(axis=1)
    return shares


def benchmark(file: File) -> np.ndarray:
    return _all_met(file.evaluations()[-1]["benchmark"]["met"])


def _all_met(met: Sequence[str]) -> np.ndarray:
    return np.array(["0" not in each for each in met], dtype=float)


def on_the_way(evaluation: dict[str, Any]) -> float:
    """Share of the answers that meet all constraints, of the prompts that every evaluation has."""
    return float(_all_met(evaluation["met"][: ON_THE_WAY * evaluation["answers_each"]]).mean())


def interval(files: Sequence[File], shares: Shares) -> Interval:
    """95%, over seeds and prompts drawn again."""
    shares_SP = np.array([shares(file) for file in files])
    S, P = shares_SP.shape
    rng = np.random.default_rng(0)
    drawn = [shares_SP[rng.integers(S, size=S)][:, rng.integers(P, size=P)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(shares_SP.mean()), float(low), float(high))


def difference(files: Sequence[File], others: Sequence[File], shares: Shares) -> Difference | None:
    """`files` less `others`, over the seeds that both have."""
    of_seed = {file.run.seed: shares(file) for file in others}
    pairs = [shares(file) - of_seed[file.run.seed] for file in files if file.run.seed in of_seed]
    if not pairs:
        return None
    each = np.concatenate(pairs)
    return Difference(float(each.mean()), float(wilcoxon(each).pvalue) if np.any(each) else 1.0)


def by_kind(evaluation: dict[str, Any], only: int | None = None) -> dict[str, float]:
    """Share of the held-out answers that meet each kind of constraint; `only` of the prompts, if given."""
    each = evaluation["answers_each"]
    rows = prompts.evaluation("held_out", len(evaluation["met"]) // each)[:only]
    met = defaultdict(list)
    for number, answer in enumerate(evaluation["met"][: len(rows) * each]):
        for kind, score in zip(rows[number // each]["instruction_id_list"], answer, strict=True):
            met[kind].append(score == "1")
    return {kind: float(np.mean(values)) for kind, values in met.items()}


def mean_by_kind(files: Sequence[File]) -> dict[str, float]:
    shares = [by_kind(file.evaluations()[-1]) for file in files]
    return {kind: float(np.mean([each[kind] for each in shares])) for kind in shares[0]}


def found(before: dict[str, float], after: dict[str, float]) -> list[str]:
    return [kind for kind in before if before[kind] < LOST and after[kind] - before[kind] > FOUND]


def lost(before: dict[str, float], after: dict[str, float]) -> list[str]:
    return [kind for kind in before if before[kind] - after[kind] > LOST]


@dataclass(frozen=True)
class Reading:
    """Whether the answers still answer, of which the constraints say nothing."""

    words: float
    short: float
    """Share of the answers with fewer than SHORT words."""
    on_topic: float
    """Share of the answers with a word of their task."""
    distinct: float
    """Different sequences of four words, as a share of all in the answers of an evaluation."""


def read(files: Sequence[File]) -> Reading:
    readings = [_read(file.evaluations()[-1]) for file in files]
    return Reading(
        *(
            float(np.mean([getattr(each, name) for each in readings]))
            for name in ("words", "short", "on_topic", "distinct")
        )
    )


def _read(evaluation: dict[str, Any]) -> Reading:
    each = evaluation["answers_each"]
    rows = prompts.evaluation("held_out", len(evaluation["met"]) // each)
    words = [re.findall(r"[a-z']+", answer.lower()) for answer in evaluation["answers"]]
    tasks = [_stems(rows[number // each]["task"]) for number in range(len(words))]
    fours = [tuple(of[start : start + 4]) for of in words for start in range(len(of) - 3)]
    return Reading(
        words=float(np.mean([len(of) for of in words])),
        short=float(np.mean([len(of) < SHORT for of in words])),
        on_topic=float(
            np.mean([any(word[:5] in task for word in of) for of, task in zip(words, tasks, strict=True)])
        ),
        distinct=len(set(fours)) / max(1, len(fours)),
    )


ASKED = frozenset(
    ["write", "short", "explain", "describe", "about", "give", "works", "what", "for", "how", "the"]
)
"""Words of the held-out tasks that say what is to be done, and not about what."""


def _stems(task: str) -> set[str]:
    return {word[:5] for word in re.findall(r"[a-z']+", task.lower()) if len(word) > 2 and word not in ASKED}


def share_of_constraints(files: Sequence[File]) -> float:
    return float(np.mean([grid.share_of_constraints(file.evaluations()[-1]) for file in files]))

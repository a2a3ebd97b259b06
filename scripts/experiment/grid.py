"""Which runs are made: a run is one method on one task from one warm-up checkpoint with one seed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

VERSION = 1
"""Raised when anything else that decides an outcome changes: a task, a method's definition, the policy."""


class Shape(NamedTuple):
    """What runs that are trained in one batch have in common."""

    task: str
    rewards: int
    group_size: int
    answers: int
    steps: int
    flipped: float
    verdicts: int


@dataclass(frozen=True)
class Run:
    task: str
    method: str
    checkpoint: int
    seed: int
    rewards: int = 6
    group_size: int = 8
    answers: int = 64
    """Answers in a step: answers / group_size prompts."""
    steps: int = 600
    flipped: float = 0.0
    """Share of the judges' verdicts that say the opposite."""
    verdicts: int = 1
    """Times that each judge is asked; the reward is the mean."""

    @property
    def shape(self) -> Shape:
        return Shape(*(getattr(self, name) for name in Shape._fields))

    @property
    def key(self) -> str:
        """Hash of everything that decides the run's outcome."""
        text = json.dumps({**asdict(self), "version": VERSION}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


PAPER = ("grpo", "gdpo", "k0.5", "k1", "k2", "k5", "rising", "min", "variance")
OURS = ("falling", "k2+c", "k5+c", "k2+c+drop", "adaptive", "guarded2", "guarded5")
PROTOTYPES = ("mixed5", "bonus2", "tail2", "tail5", "averse2", "guarded2 strict")
"""Forms that were tried for less long: two seeds."""
SIDE = ("grpo", "gdpo", "k0.5", "k2", "k5", "k2+c", "adaptive", "guarded2", "guarded5")
CHECKPOINTS = (0, 1, 2)


def _cross(
    tasks: Sequence[str],
    methods: Sequence[str],
    checkpoints: Sequence[int],
    seeds: Sequence[int],
    **options: Any,
) -> list[Run]:
    """Seeds outermost: what is finished at any time compares all methods."""
    return [
        Run(task, method, checkpoint, seed, **options)
        for seed in seeds
        for task in tasks
        for checkpoint in checkpoints
        for method in methods
    ]


TASKS = ("shortcut", "tradeoff", "discovery")


def main_grid() -> list[Run]:
    """Every method on every task from every checkpoint; the more seeds, the more a task tells methods apart."""
    methods = PAPER + OURS
    return [
        *_cross(TASKS, methods + PROTOTYPES, CHECKPOINTS, range(2)),
        *_cross(TASKS, methods, CHECKPOINTS, range(2, 3)),
        *_cross(("shortcut", "discovery"), methods, CHECKPOINTS, range(3, 5)),
    ]


def side_grids() -> list[Run]:
    """One thing changed at a time: group size, number of rewards, unreliable judges, longer training."""
    seeds, runs = range(2), []
    for group_size in (4, 16):
        runs += _cross(("shortcut",), SIDE, (0,), seeds, group_size=group_size)
        runs += _cross(("discovery",), SIDE, (1,), seeds, group_size=group_size)
    for rewards in (10, 17):
        runs += _cross(("shortcut",), SIDE, (0,), seeds, rewards=rewards)
    runs += _cross(("shortcut",), SIDE, (0,), seeds, flipped=0.2)
    judged_twice = ("gdpo", "k2+c", "k2+c+shrink")
    runs += _cross(("shortcut",), judged_twice, (0,), seeds, flipped=0.2, verdicts=2)
    longer = ("grpo", "gdpo", "k2", "k5", "rising", "k2+c", "guarded2")
    return runs + _cross(("shortcut",), longer, (0,), seeds, steps=2400)


def whole_grid() -> list[Run]:
    return [*main_grid(), *side_grids()]


def quick_grid() -> list[Run]:
    """Under a minute: enough to see the tools at work, not to conclude anything."""
    return _cross(TASKS, ("grpo", "gdpo", "k2", "k2+c"), (0,), range(2), steps=120)


CONFIRMED = (
    ("shortcut", 0, ("gdpo", "k5+c")),
    ("discovery", 1, ("k2+c", "guarded2")),
    ("discovery", 3, ("k2+c", "guarded2")),
)
"""Cells that are trained through verl's launcher too: task, checkpoint of `qwen.TAUGHT`, methods."""


def confirm_grid() -> list[Run]:
    """Of a fifth of the loop's steps: a run takes minutes."""
    return [
        run
        for seed in range(2)
        for task, checkpoint, methods in CONFIRMED
        for run in _cross((task,), methods, (checkpoint,), (seed,), steps=120)
    ]

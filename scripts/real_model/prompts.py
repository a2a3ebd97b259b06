"""Prompts with 2 to 5 of 14 kinds of constraint that an answer of 80 tokens can meet."""

from functools import cache
from typing import Any

from rvpo_verl.data.instruction_prompts import SHORT_KINDS, Prompts, draw_row
from rvpo_verl.data.instruction_tasks import TASKS

KINDS = SHORT_KINDS
WORDS = 40
TRAIN = Prompts(TASKS[:28], KINDS, words=WORDS)
VALIDATION = Prompts(TASKS[28:34], KINDS, words=WORDS)
HELD_OUT = Prompts(TASKS[34:], KINDS, words=WORDS)


def batch(seed: int, step: int, prompts: int) -> list[dict[str, Any]]:
    """The prompts of a training step, the same for every method."""
    return [draw_row(TRAIN, seed, step * prompts + number) for number in range(prompts)]


@cache
def evaluation(what: str, prompts: int) -> list[dict[str, Any]]:
    """`validation`, on which the learning rate is chosen, or `held_out`; their tasks are not trained on."""
    drawn_from = {"validation": VALIDATION, "held_out": HELD_OUT}[what]
    return [draw_row(drawn_from, 1_000_000, number) for number in range(prompts)]

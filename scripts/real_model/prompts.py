"""Prompts with 2 to 5 of 14 kinds of constraint that an answer of 80 tokens can meet."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
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


def that_fit(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of IFEval whose constraints are of the trained kinds and ask for no long answer."""
    return [
        row
        for row in rows
        if set(KINDS).issuperset(row["instruction_id_list"])
        and not any(
            kwargs.get("relation") == "at least" and "num_words" in kwargs for kwargs in row["kwargs"]
        )
    ]


def benchmark(path: Path | None) -> list[dict[str, Any]]:
    """Those of IFEval's file (JSON lines with `key`, `prompt`, `instruction_id_list`, `kwargs`) that fit."""
    if path is None:
        return []
    return that_fit(json.loads(line) for line in path.read_text().splitlines())

"""Criteria said twice, prompts said twice, and prompts that are trained on and evaluated on."""

import json
from collections.abc import Mapping
from typing import Any

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.rows import Row, rubric

TRAIN = "train"
_KEPT = "kept"


def prompt_key(row: Row) -> str:
    """Equal for prompts that differ in case or spacing at most."""
    return json.dumps([[message["role"], _plain(message["content"])] for message in row["prompt"]])


def without_repeated_criteria(row: Row, where: str, findings: Findings, *, drop: bool) -> Row:
    """A criterion counts as repeated if its text is, whatever its weight and polarity; the first one stays."""
    seen: set[str] = set()
    kept = []
    for criterion in rubric(row):
        key = _plain(criterion["criterion"])
        if key in seen:
            findings.add(
                "criterion_repeated",
                "a prompt has the same criterion twice",
                "only the first kept" if drop else _KEPT,
                where,
                criterion["criterion"],
            )
        if key not in seen or not drop:
            kept.append(criterion)
        seen.add(key)
    return {**row, "extra_info": {**row["extra_info"], "rubric": kept}}


def without_repeated_prompts(
    splits: Mapping[str, list[tuple[str, Row]]], findings: Findings, *, drop: bool
) -> dict[str, list[tuple[str, Row]]]:
    """Takes repeated prompts, and those that are evaluated on, out of the training split.

    The evaluation splits stay as they are: figures on them are to be compared with those of others.

    Args:
        splits: (where, row) by split.
    """
    kept = {split: _first_of_each(split, rows, findings, drop=drop) for split, rows in splits.items()}
    evaluated = {
        split: {prompt_key(row) for _, row in rows} for split, rows in splits.items() if split != TRAIN
    }
    train: list[tuple[str, Row]] = []
    for where, row in kept.get(TRAIN, []):
        also_in = [split for split, prompts in evaluated.items() if prompt_key(row) in prompts]
        if also_in:
            findings.add(
                "prompt_evaluated",
                "a prompt of the training split is in val or test too",
                "dropped from train" if drop else _KEPT,
                where,
                f"in {' and '.join(also_in)}, {_start(row)}",
            )
        if not (also_in and drop):
            train.append((where, row))
    if TRAIN in kept:
        kept[TRAIN] = train
    for where, row in splits.get("val", []):
        if prompt_key(row) in evaluated.get("test", ()):
            findings.add(
                "prompt_in_val_and_test", "a prompt of val is in test too", _KEPT, where, _start(row)
            )
    return kept


def _first_of_each(
    split: str, rows: list[tuple[str, Row]], findings: Findings, *, drop: bool
) -> list[tuple[str, Row]]:
    drop = drop and split == TRAIN
    seen: set[str] = set()
    kept = []
    for where, row in rows:
        key = prompt_key(row)
        if key in seen:
            findings.add(
                f"prompt_repeated_{split}",
                f"a prompt is twice in {split}",
                "only the first kept" if drop else _KEPT,
                where,
                _start(row),
            )
        if key not in seen or not drop:
            kept.append((where, row))
        seen.add(key)
    return kept


def _plain(text: Any) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def _start(row: Row) -> str:
    return row["prompt"][-1]["content"]

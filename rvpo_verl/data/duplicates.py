"""Repeated criteria, repeated prompts, and prompts that are both trained on and evaluated on."""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from rvpo_verl.data.findings import KEPT, Findings
from rvpo_verl.data.rows import Row, rubric

TRAIN: Final = "train"
Name = TypeVar("Name", bound=str)
"""Of a split or a file."""
LocatedRow = tuple[str, Row]
"""A row, after the file and number it has in messages."""


def prompt_key(row: Row) -> str:
    """Equal for prompts that differ at most in case, spacing and the final full stop."""
    return json.dumps([[message["role"], _normalize(message["content"])] for message in row["prompt"]])


def without_repeated_criteria(row: Row, where: str, findings: Findings, *, drop: bool) -> Row:
    """Keeps the first of the criteria with the same text, for any weight and polarity."""
    seen: set[str] = set()
    kept = []
    for criterion in rubric(row):
        key = _normalize(criterion["criterion"])
        if key in seen:
            findings.add("criterion_repeated", where, criterion["criterion"], handled=None if drop else KEPT)
        if key not in seen or not drop:
            kept.append(criterion)
        seen.add(key)
    return {**row, "extra_info": {**row["extra_info"], "rubric": kept}}


def without_repeated_prompts(
    splits: Mapping[Name, list[LocatedRow]], findings: Findings, *, drop: bool
) -> dict[Name, list[LocatedRow]]:
    """Removes repeated prompts, and those that val or test has too, from the training split.

    The other splits keep all rows, so that figures on them compare with published ones.
    """
    prompts: dict[str, set[str]] = {
        split: {prompt_key(row) for _, row in rows} for split, rows in splits.items()
    }
    evaluated = {split: keys for split, keys in prompts.items() if split != TRAIN}
    kept: dict[Name, list[LocatedRow]] = {}
    for split, rows in splits.items():
        drop_here = drop and split == TRAIN
        seen: set[str] = set()
        kept[split] = []
        for where, row in rows:
            key, text = prompt_key(row), row["prompt"][-1]["content"]
            repeated = key in seen
            seen.add(key)
            if repeated:
                findings.add(
                    f"prompt_repeated_{split}",
                    where,
                    text,
                    what=f"a prompt is twice in {split}",
                    handled="only the first kept" if drop_here else KEPT,
                )
                if drop_here:
                    continue
            also_in = [other for other, keys in evaluated.items() if split == TRAIN and key in keys]
            if also_in:
                text = f"in {' and '.join(also_in)}, {text}"
                findings.add("prompt_evaluated", where, text, handled=None if drop else KEPT)
            if split == "val" and key in prompts.get("test", ()):
                findings.add("prompt_in_val_and_test", where, text)
            if not (also_in and drop):
                kept[split].append((where, row))
    return kept


def _normalize(text: Any) -> str:
    return " ".join(text.casefold().split()).rstrip(".")

"""Does the judge agree with people who labelled the same answers, and with itself?"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.judge import Judge, Judgement
from rvpo_verl.rubric import Criterion

OVERALL = "all"
AT_A_TIME = 256


class Labelled(Criterion):
    """One line of a labelled file: an answer, a criterion, and whether a person found it true."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    response: str
    label: Annotated[int, Field(ge=0)]
    """Whether the criterion is literally true of the answer, 0 or 1; or its grade, with `levels`."""
    messages: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Agreement:
    """Of one category, or of all."""

    verdicts: int
    missing: int
    """Verdicts that failed; in no other figure."""
    accuracy: float | None
    """Share of verdicts that equal the label; the mean of votes is rounded. None if all failed."""
    macro_f1: float | None
    """F1 averaged over the labels that occur, so that a rare one counts as much as a frequent one."""
    self_agreement: float | None
    """How often the judge answers the same when it is asked again; None without repeats."""


def read_labels(file: Path) -> list[Labelled]:
    """The lines of a JSONL file.

    Raises:
        ValueError: a line is not JSON, or a field is not what it should be.
    """
    rows = []
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = Labelled.model_validate_json(line)
            except ValidationError as error:
                wrong = error.errors()[0]
                field = ".".join(map(str, wrong["loc"])) or "the line"
                raise ValueError(
                    f"{file}, row {number}, {field}: {wrong['msg']}. Expected are response, criterion and label, "
                    "and perhaps messages, category and levels"
                ) from None
            if row.label > row.levels:
                raise ValueError(f"{file}, row {number}, label: {row.label} is above levels={row.levels}")
            rows.append(row)
    if not rows:
        raise ValueError(f"{file} has no rows")
    return rows


async def agreement(config: JudgeConfig, rows: Sequence[Labelled]) -> dict[str, Agreement]:
    """Agreement by category, and of all under `all`. With `votes`, also of the judge with itself."""
    judge = Judge(config)
    judgements: list[Judgement] = []
    for start in range(0, len(rows), AT_A_TIME):
        part = rows[start : start + AT_A_TIME]
        batch = await asyncio.gather(*(judge.judge(row.messages, row.response, [row]) for row in part))
        judgements += [judgement for (judgement,) in batch]
    by_category: dict[str, list[tuple[Labelled, Judgement]]] = defaultdict(list)
    for row, judgement in zip(rows, judgements, strict=True):
        by_category[OVERALL].append((row, judgement))
        by_category[row.category].append((row, judgement))
    return {category: _agreement(pairs) for category, pairs in by_category.items()}


def _agreement(pairs: Sequence[tuple[Labelled, Judgement]]) -> Agreement:
    there = [(row, judgement) for row, judgement in pairs if judgement.truth is not None]
    labels = [row.label for row, _ in there]
    found = [int(judgement.truth * row.levels + 0.5) for row, judgement in there]
    repeats = [judgement.disagreement for _, judgement in there if judgement.disagreement is not None]
    return Agreement(
        verdicts=len(pairs),
        missing=len(pairs) - len(there),
        accuracy=fmean(a == b for a, b in zip(labels, found, strict=True)) if there else None,
        macro_f1=macro_f1(labels, found) if there else None,
        self_agreement=1 - fmean(repeats) if repeats else None,
    )


def macro_f1(labels: Sequence[int], found: Sequence[int]) -> float:
    """F1 of each label that occurs on either side, averaged."""
    scores = []
    for label in sorted({*labels, *found}):
        both = sum(a == b == label for a, b in zip(labels, found, strict=True))
        scores.append(2 * both / (sum(a == label for a in labels) + sum(b == label for b in found)))
    return fmean(scores)


def show(agreements: dict[str, Agreement], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("category")
    for column in ("verdicts", "missing", "accuracy", "macro F1", "self-agreement"):
        table.add_column(column, justify="right")
    for category, one in agreements.items():
        shares = (one.accuracy, one.macro_f1, one.self_agreement)
        shown = ("" if share is None else f"{share:.3f}" for share in shares)
        table.add_row(escape(category), str(one.verdicts), str(one.missing), *shown)
    console.print(table)


def as_json(agreements: dict[str, Agreement]) -> dict[str, Any]:
    return {category: asdict(one) for category, one in agreements.items()}

"""Does the judge agree with people who labeled the same responses, and with itself?"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows
from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.judge import Judge, Judgement
from rvpo_verl.rubric import DEFAULT_CATEGORY, Criterion

OVERALL = "all"
BATCH_SIZE = 256


class LabeledCriterion(Criterion):
    """One row of a label file: a response, a criterion, and whether a person found it true."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    response: str
    label: Annotated[int, Field(ge=0)]
    """Whether the criterion is literally true of the response, 0 or 1; or its grade, with `levels`."""
    messages: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Agreement:
    """Agreement on one category, or on all."""

    verdicts: int
    missing: int
    """Verdicts that failed; they are in no other figure."""
    accuracy: float | None
    """Share of verdicts equal to the label; the mean of votes is rounded. None if all failed."""
    macro_f1: float | None
    """F1 averaged over the labels that occur, so that rare and frequent labels count equally."""
    self_agreement: float | None
    """How often the judge gives the same verdict when it is asked again; None without repeats."""


def read_labels(file: Path) -> list[LabeledCriterion]:
    """The rows of a JSONL, JSON, parquet or arrow file.

    Raises:
        UserError: the file cannot be read, has no rows, or a field has a wrong value.
    """
    rows = []
    for number, values in read_rows(file):
        try:
            row = LabeledCriterion.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the row"
            raise UserError(
                f"{file}, row {number}, {field}: {first['msg']}. Expected: response, criterion and label; "
                "optional: messages, category and levels"
            ) from None
        if row.label > row.levels:
            raise UserError(f"{file}, row {number}, label: {row.label} is above levels={row.levels}")
        rows.append(row)
    if not rows:
        raise UserError(f"{file} has no rows")
    return rows


async def agreement(config: JudgeConfig, rows: Sequence[LabeledCriterion]) -> dict[str, Agreement]:
    """Agreement by category, and of all rows under `all`. With `votes`, also of the judge with itself."""
    judge = Judge(config, patient=False)
    by_category: dict[str, list[tuple[LabeledCriterion, Judgement]]] = defaultdict(list)
    for start in range(0, len(rows), BATCH_SIZE):
        part = rows[start : start + BATCH_SIZE]
        batch = await asyncio.gather(*(judge.judge(row.messages, row.response, [row]) for row in part))
        for row, (judgement,) in zip(part, batch, strict=True):
            by_category[OVERALL].append((row, judgement))
            by_category[row.category or DEFAULT_CATEGORY].append((row, judgement))
    return {category: _agreement(pairs) for category, pairs in by_category.items()}


def _agreement(pairs: Sequence[tuple[LabeledCriterion, Judgement]]) -> Agreement:
    judged = [(row, judgement.truth) for row, judgement in pairs if judgement.truth is not None]
    labels = [row.label for row, _ in judged]
    verdicts = [int(truth * row.levels + 0.5) for row, truth in judged]
    repeats = [judgement.disagreement for _, judgement in pairs if judgement.disagreement is not None]
    return Agreement(
        verdicts=len(pairs),
        missing=len(pairs) - len(judged),
        accuracy=fmean(a == b for a, b in zip(labels, verdicts, strict=True)) if judged else None,
        macro_f1=macro_f1(labels, verdicts) if judged else None,
        self_agreement=1 - fmean(repeats) if repeats else None,
    )


def macro_f1(labels: Sequence[int], verdicts: Sequence[int]) -> float:
    """The mean F1 of the labels that occur on either side."""
    scores = []
    for label in sorted({*labels, *verdicts}):
        both = sum(a == b == label for a, b in zip(labels, verdicts, strict=True))
        scores.append(2 * both / (sum(a == label for a in labels) + sum(b == label for b in verdicts)))
    return fmean(scores)

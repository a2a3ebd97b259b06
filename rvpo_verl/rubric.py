"""What a row asks of the answers to its prompt: `extra_info["rubric"]`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

COLUMN = "rubric"


class Criterion(BaseModel):
    """One statement about an answer, and what it is worth that it is true."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    criterion: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    """The statement. The judge says whether, or how far, it is literally true of the answer."""
    category: str = "criterion"
    """What its metrics are reported under."""
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    polarity: Literal[1, -1] = 1
    """1: good if true. -1: bad if true, as "Mentions a wrong dose" is."""
    levels: Annotated[int, Field(ge=1)] = 1
    """1: true or false. n: a grade from 0 to n."""

    def reward(self, truth: float) -> float:
        """The reward for a criterion that is true to the degree `truth`, from 0 to 1."""
        return truth if self.polarity > 0 else 1 - truth


_RUBRIC = TypeAdapter(Annotated[list[Criterion], Field(min_length=1)])


def read_rubric(extra_info: Mapping[str, Any]) -> list[Criterion]:
    """The criteria of a row.

    Raises:
        ValueError: the row has none, or one that cannot be judged; with its number and field.
    """
    rows = extra_info.get(COLUMN)
    if rows is None:
        raise ValueError(
            f"the row has no extra_info[{COLUMN!r}]; there is {sorted(map(str, extra_info))}. Expected a list of "
            "{criterion, category, weight, polarity, levels}"
        )
    try:
        return _RUBRIC.validate_python([_plain(row) for row in rows])
    except (ValidationError, TypeError) as error:
        if not isinstance(error, ValidationError):
            raise ValueError(
                f"extra_info[{COLUMN!r}] is a {type(rows).__name__}, not a list of criteria"
            ) from None
        wrong = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in wrong["loc"])
        raise ValueError(
            f"extra_info[{COLUMN!r}]{place}: {wrong['msg']}, not {wrong['input']!r:.80}"
        ) from None


def names(criteria: list[Criterion]) -> list[str]:
    """`CATEGORY/NUMBER` for each, the number counted from 1 over the whole rubric."""
    return [f"{_word(criterion.category)}/{number}" for number, criterion in enumerate(criteria, start=1)]


def _word(category: str) -> str:
    return re.sub(r"[^\w.:-]+", "_", category).strip("_") or "criterion"


def _plain(row: Any) -> Any:
    # Parquet gives fields that other rows have as None, and numbers of numpy.
    if not isinstance(row, Mapping):
        return row
    return {
        name: value.item() if hasattr(value, "item") else value
        for name, value in row.items()
        if value is not None
    }

"""What a row asks of the responses to its prompt: `extra_info["rubric"]`, a list of criteria."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from rvpo_verl.errors import UserError

__all__ = ["COLUMN", "Criterion", "names", "read_rubric"]

COLUMN = "rubric"
"""Key of `extra_info` that holds the criteria of a row."""
DEFAULT_CATEGORY = "criterion"


def _polarity(value: int) -> int:
    if value not in (1, -1):
        raise ValueError("expected 1 (true is good) or -1 (true is bad)")
    return value


Polarity = Annotated[int, AfterValidator(_polarity)]


class Criterion(BaseModel):
    """One statement about a response, and what it is worth that the statement is true."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    criterion: Annotated[str, Field(pattern=r"\S")]
    """The statement. The judge decides only whether, or how far, it is literally true of the response."""
    category: str = ""
    """What its metrics are grouped by, such as an importance or an axis; `criterion` if empty."""
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Share in the aggregate, at least 0, relative to the other criteria."""
    polarity: Polarity = 1
    """1: good if true. -1: bad if true, as "Mentions a wrong dose" is."""
    levels: Annotated[int, Field(ge=1)] = 1
    """Highest grade. 1: true or false. n: a grade from 0 to n."""
    judge: str = ""
    """Which of several judges decides it; that of its category if empty."""

    @model_validator(mode="before")
    @classmethod
    def _from_parquet(cls, row: Any) -> Any:
        """Parquet returns fields that only other rows have as None, and numbers as NumPy scalars."""
        if not isinstance(row, Mapping):
            return row
        return {
            name: value.item() if hasattr(value, "item") else value
            for name, value in row.items()
            if value is not None
        }

    @property
    def category_name(self) -> str:
        """The category as part of a metric's name."""
        return re.sub(r"[^\w.:-]+", "_", self.category).strip("_") or DEFAULT_CATEGORY

    def reward(self, truth: float) -> float:
        """The reward for a criterion that is true to the degree `truth`, from 0 to 1."""
        return truth if self.polarity > 0 else 1 - truth


_RUBRIC = TypeAdapter(Annotated[list[Criterion], Field(min_length=1)])


def read_rubric(extra_info: Mapping[str, Any]) -> list[Criterion]:
    """The criteria of a row.

    Raises:
        UserError: the row has no criteria, or one that cannot be judged; with its index and field.
    """
    rows = extra_info.get(COLUMN)
    if rows is None:
        raise UserError(
            f"the row has no extra_info[{COLUMN!r}]; found {sorted(map(str, extra_info))}. Expected a list of "
            "{criterion, category, weight, polarity, levels}"
        )
    try:
        return _RUBRIC.validate_python(list(rows))
    except TypeError:
        raise UserError(f"extra_info[{COLUMN!r}] is {rows!r:.80}; expected a list of criteria") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"extra_info[{COLUMN!r}]{place}: found {first['input']!r:.80}; {message}") from None


def names(criteria: list[Criterion]) -> list[str]:
    """`CATEGORY/NUMBER` of each criterion. The number counts from 1 over the whole rubric, so names are distinct."""
    return [f"{criterion.category_name}/{number}" for number, criterion in enumerate(criteria, start=1)]

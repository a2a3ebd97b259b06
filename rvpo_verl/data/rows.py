"""The row that training with rubrics reads, and parquet files of such rows.

Every column has the same type in every file, because verl concatenates the files it is given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from rvpo_verl import files
from rvpo_verl.data.schema import FilledText, Message, Schema, Text, check_file
from rvpo_verl.rubric import Criterion

__all__ = ["ExtraInfo", "RewardModel", "RubricRow", "TitledCriterion", "read_rows", "write_rows"]

Row = dict[str, Any]


class TitledCriterion(Criterion):
    """A criterion of a data file. Types are not converted into each other."""

    model_config = ConfigDict(strict=True)

    criterion: FilledText
    """The statement to judge."""
    category: Text = ""
    """What its metrics are grouped by."""
    title: Text = ""
    """A short name for people."""


class RewardModel(Schema):
    """verl's column `reward_model`."""

    style: Text
    """`rubric`; no reward reads it."""
    ground_truth: Text
    """A reference answer, or empty."""


class ExtraInfo(Schema):
    """verl's column `extra_info`."""

    split: Text = ""
    """train, val or test."""
    index: int = 0
    """Number of the row in its split, from 0."""
    rubric: Annotated[list[TitledCriterion], Field(min_length=1)]
    """What is asked of the answers."""
    id: Text = ""
    """The row's identifier in the data set."""
    source: Text = ""
    """Origin of the prompt, as the data set gives it."""


class RubricRow(Schema):
    """A row with a rubric, in verl's columns."""

    SHAPE: ClassVar[str] = (
        "data_source, prompt=[{role, content}], ability, reward_model={style, ground_truth}, extra_info={split, "
        "index, rubric=[{criterion, polarity: 1 or -1, weight >= 0, title, category, levels >= 1, judge}], id, "
        "source}; "
        "needed are the columns, rubric and criterion"
    )

    data_source: FilledText
    """The data set; a reward's `data_sources` refer to it, and verl averages validation by it."""
    prompt: Annotated[list[Message], Field(min_length=1)]
    """Chat messages, each with `role` and `content`."""
    ability: Text
    """As in verl's data sets; no reward reads it."""
    reward_model: RewardModel
    """Of the row's reference answer."""
    extra_info: ExtraInfo
    """Of its rubric."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, with defaults for the fields they leave out.

    Raises:
        UserError: no rows, or one that does not fit; with its number and field.
    """
    return [row.model_dump() for row in check_file(RubricRow, path)]


_EVERY_COLUMN: Row = {
    "data_source": "",
    "prompt": [{"role": "", "content": ""}],
    "ability": "",
    "reward_model": {"style": "", "ground_truth": ""},
    "extra_info": {
        "split": "",
        "index": 0,
        "rubric": [
            {
                "criterion": "",
                "title": "",
                "category": "",
                "weight": 0.0,
                "polarity": 0,
                "levels": 0,
                "judge": "",
            }
        ],
        "id": "",
        "source": "",
    },
}


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Writes the whole parquet file, with every column of `RubricRow`, or leaves `path` as it was."""
    import pyarrow

    files.write_parquet(rows, path, pyarrow.Table.from_pylist([_EVERY_COLUMN]).schema)


def rubric(row: Row) -> list[dict[str, Any]]:
    criteria: list[dict[str, Any]] = row["extra_info"]["rubric"]
    return criteria

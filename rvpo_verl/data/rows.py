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

Row = dict[str, Any]


class TitledCriterion(Criterion):
    """A criterion of a data file. Types are not converted into each other."""

    model_config = ConfigDict(strict=True)

    criterion: FilledText
    category: Text = ""
    title: Text = ""
    """A short name for people."""


class RewardModel(Schema):
    style: Text
    ground_truth: Text
    """A reference answer, or empty."""


class ExtraInfo(Schema):
    split: Text = ""
    index: int = 0
    rubric: Annotated[list[TitledCriterion], Field(min_length=1)]
    id: Text = ""
    """The row's identifier in the data set."""
    source: Text = ""
    """Origin of the prompt, as the data set gives it."""


class RubricRow(Schema):
    SHAPE: ClassVar[str] = (
        "data_source, prompt=[{role, content}], ability, reward_model={style, ground_truth}, extra_info={split, "
        "index, rubric=[{criterion, polarity: 1 or -1, weight >= 0, title, category, levels >= 1}], id, source}; "
        "needed are the columns, rubric and criterion"
    )

    data_source: FilledText
    prompt: Annotated[list[Message], Field(min_length=1)]
    ability: Text
    reward_model: RewardModel
    extra_info: ExtraInfo


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
        "rubric": [{"criterion": "", "title": "", "category": "", "weight": 0.0, "polarity": 0, "levels": 0}],
        "id": "",
        "source": "",
    },
}


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Writes the whole parquet file, or leaves `path` as it was."""
    import pyarrow

    files.write_parquet(rows, path, pyarrow.Table.from_pylist([_EVERY_COLUMN]).schema)


def rubric(row: Row) -> list[dict[str, Any]]:
    return row["extra_info"]["rubric"]

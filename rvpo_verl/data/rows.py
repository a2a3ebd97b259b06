"""The row that a training with rubrics reads, and the parquet file of such rows.

Every column of every file has the same type, so that verl can be given files of several data sets at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from rvpo_verl.data.schema import FilledText, Message, Schema, Text, check
from rvpo_verl.data.sources import from_file
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
    """A reference answer, or nothing."""


class ExtraInfo(Schema):
    split: Text = ""
    index: int = 0
    rubric: Annotated[list[TitledCriterion], Field(min_length=1)]
    id: Text = ""
    """What the data set calls the row."""
    source: Text = ""
    """Where the data set has the prompt from."""


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
    """The rows of a file, with every optional field filled in.

    Raises:
        ValueError: no rows, or one that does not fit, named with its field.
    """
    source = from_file(path)
    rows = [check(RubricRow, row, f"{source.name}, row {number}").model_dump() for number, row in source.rows]
    if not rows:
        raise ValueError(f"{path} has no rows")
    return rows


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Writes a parquet file, whole or not at all."""
    import pyarrow
    import pyarrow.parquet

    text, number = pyarrow.string(), pyarrow.int64()
    criterion = pyarrow.struct(
        [
            ("criterion", text),
            ("title", text),
            ("category", text),
            ("weight", pyarrow.float64()),
            ("polarity", number),
            ("levels", number),
        ]
    )
    schema = pyarrow.schema(
        [
            ("data_source", text),
            ("prompt", pyarrow.list_(pyarrow.struct([("role", text), ("content", text)]))),
            ("ability", text),
            ("reward_model", pyarrow.struct([("style", text), ("ground_truth", text)])),
            (
                "extra_info",
                pyarrow.struct(
                    [
                        ("split", text),
                        ("index", number),
                        ("rubric", pyarrow.list_(criterion)),
                        ("id", text),
                        ("source", text),
                    ]
                ),
            ),
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), unfinished)
    unfinished.replace(path)


def rubric(row: Row) -> list[dict[str, Any]]:
    return row["extra_info"]["rubric"]

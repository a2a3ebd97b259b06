"""The row that a training with rubrics reads, and the parquet file of such rows.

Every column of every file has the same type, so that verl can be given files of several data sets at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from rvpo_verl.data.schema import FilledText, Message, Number, Schema, Text, check
from rvpo_verl.data.sources import from_file

Row = dict[str, Any]


def _sign(polarity: int) -> int:
    if polarity not in (1, -1):
        raise ValueError("expected 1 (true is good) or -1 (true is bad)")
    return polarity


Polarity = Annotated[int, AfterValidator(_sign)]


class Criterion(Schema):
    """One thing to judge. The judge is asked only whether it is literally true of the answer."""

    criterion: FilledText
    polarity: Polarity = 1
    """1: an answer of which it is true is better for it. -1: worse."""
    weight: Annotated[Number, Field(ge=0)] = 1.0
    title: Text = ""
    category: Text = ""
    """What metrics are grouped by: an importance, an axis, anything."""
    levels: Annotated[int, Field(ge=1)] = 1
    """Highest grade: 1 is true or false, n is graded 0 to n."""


class RewardModel(Schema):
    style: Text
    ground_truth: Text
    """A reference answer, or nothing."""


class ExtraInfo(Schema):
    split: Text = ""
    index: int = 0
    rubric: Annotated[list[Criterion], Field(min_length=1)]
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

"""HealthBench (arXiv:2505.08775) and data in its shape. It is a benchmark: for evaluation, not for training.

Its sign needs no reading of wordings: a criterion that is met counts its points, above 0 or below.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.options import Options, Weights
from rvpo_verl.data.polarity import BAD, GOOD, read
from rvpo_verl.data.reader import Reader
from rvpo_verl.data.rows import Row
from rvpo_verl.data.schema import FilledText, Message, Number, Schema, Text, check

AXIS = "axis:"


class HealthBenchCriterion(Schema):
    criterion: FilledText
    points: Number
    tags: list[Text] = Field(default_factory=list)


class HealthBenchRow(Schema):
    SHAPE: ClassVar[str] = (
        "prompt=[{role, content}], rubrics=[{criterion, points, tags}], optionally prompt_id"
    )

    prompt: Annotated[list[Message], Field(min_length=1)]
    rubrics: Annotated[list[HealthBenchCriterion], Field(min_length=1)]
    prompt_id: Text = ""


class HealthBenchReader(Reader):
    """Category from the axis, weight and polarity from the points."""

    def __init__(self, data_source: str, options: Options, findings: Findings) -> None:
        if options.weights is Weights.importance:
            raise ValueError(
                "--weights importance: HealthBench's criteria have points, no importance; accepted: row, equal"
            )
        if options.openings:
            raise ValueError(
                "--polarity: the sign of HealthBench's points says what a criterion means; leave it out"
            )
        super().__init__(data_source, options, findings)
        self._by_points = options.weights is not Weights.equal

    def read(self, given: Any, where: str, split: str, index: int) -> Row:
        row = check(HealthBenchRow, given, where)
        return {
            "data_source": self.data_source,
            "prompt": [message.model_dump() for message in row.prompt],
            "ability": "rubric",
            "reward_model": {"style": "rubric", "ground_truth": ""},
            "extra_info": {
                "split": split,
                "index": index,
                "rubric": [
                    self._criterion(criterion, f"{where}, rubrics.{position}")
                    for position, criterion in enumerate(row.rubrics)
                ],
                "id": row.prompt_id,
                "source": "",
            },
        }

    def _criterion(self, given: HealthBenchCriterion, where: str) -> dict[str, Any]:
        if given.points < 0 and read(given.criterion).polarity == GOOD:
            self.findings.add(
                "points_doubtful",
                "points below 0 for what reads like a virtue",
                "kept as it is: by HealthBench's definition the points decide",
                where,
                given.criterion,
            )
        axes = [tag.removeprefix(AXIS) for tag in given.tags if tag.startswith(AXIS)]
        return {
            "criterion": given.criterion,
            "title": "",
            "category": axes[0] if axes else "",
            "weight": abs(given.points) if self._by_points else 1.0,
            "polarity": BAD if given.points < 0 else GOOD,
            "levels": 1,
        }

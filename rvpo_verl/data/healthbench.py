"""HealthBench (arXiv:2505.08775) and data in its schema. It is a benchmark: for evaluation, not for training.

Polarity is the sign of the points, and not the wording: a criterion that is met counts its points.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.options import Options, Weights
from rvpo_verl.data.polarity import BAD, GOOD, read_wording
from rvpo_verl.data.reader import Reader, build_criterion
from rvpo_verl.data.rows import Row
from rvpo_verl.data.schema import FilledText, Message, Number, Schema, Text, check
from rvpo_verl.errors import UserError

AXIS = "axis:"
RULE = "verifier:rule"
"""Tag of a criterion that its publisher checks by a program."""


class HealthBenchCriterion(Schema):
    criterion: FilledText
    points: Number
    tags: list[Text] = Field(default_factory=list)
    title: Text = ""


class HealthBenchRow(Schema):
    SHAPE: ClassVar[str] = (
        "prompt=[{role, content}], rubrics=[{criterion, points, tags}], optionally prompt_id"
    )

    prompt: Annotated[list[Message], Field(min_length=1)]
    rubrics: Annotated[list[HealthBenchCriterion], Field(min_length=1)]
    prompt_id: Text = ""
    reference_answer: Text = ""


class HealthBenchReader(Reader):
    """Category from the axis, weight and polarity from the points."""

    def __init__(self, data_source: str, options: Options, findings: Findings) -> None:
        if options.weights is Weights.importance:
            raise UserError(
                "--weights importance: HealthBench's criteria have points, no importance; accepted: row, equal"
            )
        if options.openings:
            raise UserError(
                "--polarity: the sign of HealthBench's points says what a criterion means; remove the option"
            )
        super().__init__(data_source, options, findings)

    def read(self, given: Any, where: str, split: str, index: int) -> Row:
        row = check(HealthBenchRow, given, where)
        rubric = [
            self._criterion(criterion, f"{where}, rubrics.{position}")
            for position, criterion in enumerate(row.rubrics)
        ]
        prompt = [message.model_dump() for message in row.prompt]
        return self.build_row(
            prompt, row.reference_answer, split=split, index=index, rubric=rubric, id=row.prompt_id, source=""
        )

    def _criterion(self, given: HealthBenchCriterion, where: str) -> dict[str, Any]:
        if given.points < 0 and read_wording(given.criterion).polarity == GOOD:
            self.findings.add("points_doubtful", where, given.criterion)
        if RULE in given.tags:
            self.findings.add("criterion_of_rule", where, given.criterion)
        axes = [tag.removeprefix(AXIS) for tag in given.tags if tag.startswith(AXIS)]
        weight = 1.0 if self.options.weights is Weights.equal else abs(given.points)
        polarity = BAD if given.points < 0 else GOOD
        return build_criterion(given.criterion, given.title, axes[0] if axes else "", weight, polarity)

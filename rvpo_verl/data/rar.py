"""Rubrics as Rewards (arXiv:2507.17746): RaR-Medicine, RaR-Science, and data in their schema."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rvpo_verl.data import categories
from rvpo_verl.data.findings import Findings
from rvpo_verl.data.options import Ambiguous, Options, Weights
from rvpo_verl.data.polarity import GOOD, Wording, is_pitfall, opening_of, read_pitfall
from rvpo_verl.data.reader import Reader, build_criterion
from rvpo_verl.data.rows import Row
from rvpo_verl.data.schema import FilledText, Message, Number, Schema, Text, check
from rvpo_verl.errors import UserError
from rvpo_verl.rubric import Polarity


class RarCriterion(Schema):
    description: FilledText
    weight: Number | None = None
    """Without one, the category decides."""
    title: Text = ""
    polarity: Polarity | None = None
    """Not in the published data; overrides the reading of the wording."""


class RarRow(Schema):
    SHAPE: ClassVar[str] = (
        "question, reference_answer, question_source, rubric=[{title, description, weight, polarity: 1 or -1}]; "
        "needed are question, and rubric with description and weight, or rubric_list of texts alone"
    )

    question: FilledText
    rubric: Annotated[list[RarCriterion], Field(min_length=1)]
    reference_answer: Text = ""
    prompt: list[Message] = Field(default_factory=list)
    """In place of the question alone."""
    prompt_id: Text = ""
    question_source: Text = ""
    rubric_count: int | None = None


class RarReader(Reader):
    """Category from the beginning of the text, polarity of a pitfall from its wording."""

    def __init__(self, data_source: str, options: Options, findings: Findings) -> None:
        super().__init__(data_source, options, findings)
        self._unused_openings = set(options.openings)

    def finish(self) -> None:
        for words in sorted(self._unused_openings):
            self.findings.add("opening_unused", "--polarity", words)

    def read(self, given: Any, where: str, split: str, index: int) -> Row:
        row = check(RarRow, given, where)
        if row.rubric_count is not None and row.rubric_count != len(row.rubric):
            counts = f"rubric_count {row.rubric_count}, {len(row.rubric)} criteria"
            self.findings.add("rubric_count", where, counts)
        criteria = [
            self._criterion(criterion, f"{where}, rubric.{position}")
            for position, criterion in enumerate(row.rubric)
        ]
        return self.build_row(
            [message.model_dump() for message in row.prompt] or [{"role": "user", "content": row.question}],
            row.reference_answer,
            split=split,
            index=index,
            rubric=[criterion for criterion in criteria if criterion is not None],
            id=row.prompt_id,
            source=row.question_source,
        )

    def _criterion(self, given: RarCriterion, where: str) -> dict[str, Any] | None:
        """None if the criterion is dropped."""
        prefix = categories.split_prefix(given.description)
        if prefix.category is None and given.weight is None:
            self.findings.add("weight_missing", where, given.description)
        elif prefix.kind != "exact":
            self.findings.add(f"category_{prefix.kind}", where, given.description)
        number = categories.WEIGHT[prefix.category or "important"] if given.weight is None else given.weight
        category = prefix.category or categories.of_weight(number)
        if not prefix.text:
            self.findings.add("criterion_empty", where, given.description)
            return None
        polarity = self._polarity(given, number, category, prefix.text, where)
        if polarity is None:
            return None
        weight = {
            Weights.importance: categories.IMPORTANCE[category],
            Weights.row: abs(number),
            Weights.equal: 1.0,
        }[self.options.weights or Weights.importance]
        return build_criterion(prefix.text, given.title, category, weight, polarity)

    def _polarity(
        self, given: RarCriterion, weight: float, category: str, text: str, where: str
    ) -> int | None:
        """None if the criterion is dropped."""
        if not is_pitfall(category, weight):
            return given.polarity or GOOD
        declared = given.polarity
        if declared is None and (words := opening_of(text, self.options.openings)) is not None:
            declared = self.options.openings[words]
            self._unused_openings.discard(words)
        wording = read_pitfall(text, category, weight, declared)
        self.findings.add_pitfall(wording, text)
        if wording.polarity is not None:
            return wording.polarity
        choice = self.options.ambiguous
        if choice is Ambiguous.error:
            raise UserError(
                f"{where}: {text!r} with weight {weight:g} {wording.meaning}. Say what it means with "
                "--polarity 'OPENING WORDS=good' (or bad), or choose --ambiguous drop, good or bad"
            )
        handled = None if choice is Ambiguous.drop else f"taken as {choice.value}, if true"
        if wording is Wording.CONTRADICTION:
            text = f"{category}, weight {weight:g}, {text}"
        self.findings.add(f"polarity_{wording.name.lower()}", where, text, handled=handled)
        return choice.polarity

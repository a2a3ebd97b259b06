"""Rubrics as Rewards (arXiv:2507.17746): RaR-Medicine, RaR-Science, and data in their schema."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rvpo_verl.data import categories
from rvpo_verl.data.findings import Findings
from rvpo_verl.data.options import Ambiguous, Options, Weights
from rvpo_verl.data.polarity import GOOD, Wording, is_pitfall, opening_of, read_pitfall
from rvpo_verl.data.reader import Reader
from rvpo_verl.data.rows import Row
from rvpo_verl.data.schema import FilledText, Number, Schema, Text, check
from rvpo_verl.rubric import Polarity


class RarCriterion(Schema):
    description: FilledText
    weight: Number
    title: Text = ""
    polarity: Polarity | None = None
    """Not in the published data: for a row that says itself what its wording means."""


class RarRow(Schema):
    SHAPE: ClassVar[str] = (
        "question, reference_answer, question_source, rubric=[{title, description, weight, polarity: 1 or -1}]; "
        "needed are question and rubric with description and weight"
    )

    question: FilledText
    rubric: Annotated[list[RarCriterion], Field(min_length=1)]
    reference_answer: Text = ""
    question_source: Text = ""
    rubric_count: int | None = None


class RarReader(Reader):
    """The category is taken out of the text, the polarity of a pitfall read from its wording."""

    def __init__(self, data_source: str, options: Options, findings: Findings) -> None:
        super().__init__(data_source, options, findings)
        self._weights = options.weights or Weights.importance
        self._unused_openings = set(options.openings)

    def finish(self) -> None:
        for words in sorted(self._unused_openings):
            self.findings.add(
                "opening_unused",
                "no pitfall begins with the words of a --polarity",
                "nothing",
                "--polarity",
                words,
            )

    def read(self, given: Any, where: str, split: str, index: int) -> Row:
        row = check(RarRow, given, where)
        if row.rubric_count is not None and row.rubric_count != len(row.rubric):
            self.findings.add(
                "rubric_count",
                "rubric_count is not the number of criteria",
                "ignored",
                where,
                f"rubric_count {row.rubric_count}, {len(row.rubric)} criteria",
            )
        criteria = [
            self._criterion(criterion, f"{where}, rubric.{position}")
            for position, criterion in enumerate(row.rubric)
        ]
        return {
            "data_source": self.data_source,
            "prompt": [{"role": "user", "content": row.question}],
            "ability": "rubric",
            "reward_model": {"style": "rubric", "ground_truth": row.reference_answer},
            "extra_info": {
                "split": split,
                "index": index,
                "rubric": [criterion for criterion in criteria if criterion is not None],
                "id": "",
                "source": row.question_source,
            },
        }

    def _criterion(self, given: RarCriterion, where: str) -> dict[str, Any] | None:
        category, text = self._category(given, where)
        if not text:
            self.findings.add(
                "criterion_empty",
                "a criterion is nothing but its prefix",
                "dropped",
                where,
                given.description,
            )
            return None
        polarity = self._polarity(given, category, text, where)
        if polarity is None:
            return None
        weight = {
            Weights.importance: categories.IMPORTANCE[category],
            Weights.row: abs(given.weight),
            Weights.equal: 1.0,
        }[self._weights]
        return {
            "criterion": text,
            "title": given.title,
            "category": category,
            "weight": weight,
            "polarity": polarity,
            "levels": 1,
        }

    def _category(self, given: RarCriterion, where: str) -> tuple[str, str]:
        prefix = categories.split_prefix(given.description)
        if prefix.kind == "misspelt":
            self.findings.add(
                "category_misspelt", "a category is misspelt", "read as the nearest", where, given.description
            )
        elif prefix.kind == "unknown":
            self.findings.add(
                "category_unknown",
                f"a category is none of {', '.join(categories.IMPORTANCE)}",
                "taken from the weight",
                where,
                given.description,
            )
        elif prefix.kind == "missing":
            self.findings.add(
                "category_missing",
                "a criterion begins without its category",
                "taken from the weight",
                where,
                given.description,
            )
        return prefix.category or categories.of_weight(given.weight), prefix.text

    def _polarity(self, given: RarCriterion, category: str, text: str, where: str) -> int | None:
        """None: the criterion is dropped."""
        if not is_pitfall(category, given.weight):
            return given.polarity or GOOD
        declared = given.polarity
        if declared is None and (words := opening_of(text, self.options.openings)) is not None:
            declared = self.options.openings[words]
            self._unused_openings.discard(words)
        wording = read_pitfall(text, category, given.weight, declared)
        self.findings.add_pitfall(wording, text)
        if wording.polarity is not None:
            return wording.polarity
        choice = self.options.ambiguous
        if choice is Ambiguous.error:
            raise ValueError(
                f"{where}: {text!r} with weight {given.weight:g} {wording.meaning}. Say what it means with "
                "--polarity 'OPENING WORDS=good' (or bad), or choose --ambiguous drop, good or bad"
            )
        handled = "dropped" if choice is Ambiguous.drop else f"taken as {choice.value}, if true"
        if wording is Wording.UNCLEAR:
            what = "the wording of a pitfall could be meant either way"
        else:
            what = f"{wording.meaning} (weight as in the example)"
            text = f"{category}, weight {given.weight:g}, {text}"
        self.findings.add(f"polarity_{wording.name.lower()}", what, handled, where, text)
        return choice.polarity

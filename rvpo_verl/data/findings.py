"""What was wrong with the data, how often, one example of each, and what was done about it."""

from dataclasses import dataclass, field

from rvpo_verl.data.categories import IMPORTANCE
from rvpo_verl.data.polarity import Wording

KEPT = "kept"
DESCRIPTIONS = {
    # Of a criterion
    "category_misspelled": ("a category is misspelled", "read as the nearest"),
    "category_unknown": (f"a category is none of {', '.join(IMPORTANCE)}", "taken from the weight"),
    "category_missing": ("a criterion has no category in its text", "taken from the weight"),
    "criterion_of_rule": (
        "a criterion is checked by a program where it was published",
        "kept, for the judge",
    ),
    "weight_missing": ("a criterion has neither a category nor a weight", "taken as important"),
    "criterion_empty": ("a criterion has no text but its category", "dropped"),
    "criterion_repeated": ("a prompt has the same criterion twice", "only the first kept"),
    "points_doubtful": (
        "points below 0 for what reads like a virtue",
        "kept as it is: by HealthBench's definition the points decide",
    ),
    "polarity_unclear": ("the wording of a pitfall could be meant either way", "dropped"),
    "polarity_contradiction": (f"{Wording.CONTRADICTION.meaning} (weight as in the example)", "dropped"),
    "opening_unused": ("no pitfall begins with the words of a --polarity", "ignored"),
    # Of a row
    "rubric_count": ("rubric_count is not the number of criteria", "ignored"),
    "rubric_empty": ("no criterion with a weight above 0 is left in a row", "row dropped"),
    "prompt_evaluated": ("a prompt of the training split is in val or test too", "dropped from train"),
    "prompt_in_val_and_test": ("a prompt of val is in test too", KEPT),
    # Of RLLA
    "prompt_repeated": ("a prompt is in the file twice", KEPT),
    "unoffered": ("a ground truth uses a tool or parameter that its prompt does not offer", KEPT),
}
"""By kind: what was found, and what is done about it unless an option says otherwise. Kinds not listed give both."""


@dataclass
class Finding:
    kind: str
    what: str
    handled: str
    count: int = 0
    where: str = ""
    """Of the first one."""
    example: str = ""
    """Text of the first one."""


@dataclass
class Pitfalls:
    """The pitfalls whose wording was read in one way."""

    count: int
    example: str


@dataclass
class Findings:
    by_kind: dict[str, Finding] = field(default_factory=dict)
    pitfalls: dict[Wording, Pitfalls] = field(default_factory=dict)

    def add(
        self, kind: str, where: str, text: str = "", *, what: str | None = None, handled: str | None = None
    ) -> None:
        """Counts one. `what` and `handled` replace those of `DESCRIPTIONS`, for all of this kind."""
        finding = self.by_kind.get(kind)
        if finding is None:
            described, done = DESCRIPTIONS.get(kind, ("", KEPT))
            finding = Finding(kind, what or described, handled or done, 0, where, text)
            self.by_kind[kind] = finding
        finding.count += 1

    def add_pitfall(self, wording: Wording, text: str) -> None:
        self.pitfalls.setdefault(wording, Pitfalls(0, text)).count += 1

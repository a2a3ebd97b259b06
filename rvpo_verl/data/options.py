"""Options of a preparation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from rvpo_verl.data.polarity import BAD, GOOD
from rvpo_verl.errors import UserError


class Shape(str, Enum):
    """Schemas of published rows."""

    rar = "rar"
    healthbench = "healthbench"


class Weights(str, Enum):
    importance = "importance"
    """Of the category: essential 1.0, important 0.7, optional 0.3, pitfall 0.9."""
    row = "row"
    """The row's own number, without its sign."""
    equal = "equal"


class Ambiguous(str, Enum):
    """What to do with a pitfall whose wording could be meant either way."""

    drop = "drop"
    good = "good"
    bad = "bad"
    error = "error"

    @property
    def polarity(self) -> int | None:
        return {"good": GOOD, "bad": BAD}.get(self.value)


class Duplicates(str, Enum):
    drop = "drop"
    keep = "keep"


@dataclass(frozen=True)
class Options:
    weights: Weights | None = None
    """None: importance where rows have one, else the row's numbers."""
    ambiguous: Ambiguous = Ambiguous.drop
    duplicates: Duplicates = Duplicates.drop
    openings: Mapping[str, int] = field(default_factory=dict)
    """Polarity by the first words of a pitfall, in lower case."""
    benchmark_as_train: bool = False
    """Whether rows in HealthBench's shape may become a training split."""
    paths: Mapping[str, tuple[str, ...]] | None = None
    """Where a row has what, by `published.parse_map`; None: where such rows usually have it."""


def parse_openings(written: Iterable[str]) -> dict[str, int]:
    """
    Args:
        written: such as `["Does not suggest=good"]`.

    Raises:
        UserError: not of this form.
    """
    openings = {}
    for text in written:
        words, _, value = text.rpartition("=")
        if not words.strip() or value.strip().lower() not in ("good", "bad"):
            raise UserError(
                f"--polarity {text!r}: expected WORDS=good or WORDS=bad, as in 'Does not suggest=good'"
            )
        openings[" ".join(words.lower().split())] = GOOD if value.strip().lower() == "good" else BAD
    return openings

"""What a reward may return in its dict, in place of a number, where it has more to say about it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One named score of a reward that returns a dict."""

    value: float | None
    """None where it is missing: not applicable, or failed."""
    weight: float = 1.0
    """Its share in the aggregate, at least 0; multiplied by the weight of the reward."""
    failure: str | None = None
    """Why it is missing, as `kind: what happened`; failures are counted by kind. None where it does not apply."""
    disagreement: float | None = None
    """Between repeated measurements of it, 0 to 1; None where there were none."""


class Scores(dict[str, Score | str]):
    """What a reward returns that knows what its scores cost."""

    def __init__(self, scores: Mapping[str, Score | str], figures: Mapping[str, float | list[float]]):
        """
        Args:
            scores: as any reward returns them.
            figures: what they cost, by name: numbers are added up over a batch and logged as `rvpo/NAME/FIGURE`; of
                lists the percentiles are, as `FIGURE_p50` and `FIGURE_p95`.
        """
        super().__init__(scores)
        self.figures = dict(figures)

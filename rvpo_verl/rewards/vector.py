"""The scores of one response on their way from the reward manager to the estimator.

They travel as one JSON string in verl's `reward_extra_info`: verl takes the keys of that dict from the
first sample only, turns values into numpy arrays and averages everything that is not a string in validation,
so that ragged names would be lost and nested values would break it.
"""

from dataclasses import dataclass, field

import orjson

from rvpo_verl.names import reward_of

__all__ = ["KEY", "RewardVector"]

KEY = "rvpo_rewards"
"""Key of verl's `reward_extra_info` and of its dumps: the vector of a response, as JSON."""


@dataclass  # not frozen: that doubles what it costs to make one, thousands of times a step
class RewardVector:
    """The scores of one response, and what is known of them."""

    scores: dict[str, float | None]
    """Score by name, None where missing: not applicable, or failed."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weight by name, at least 0; 1 where none is given."""
    failures: dict[str, str] = field(default_factory=dict)
    """`kind: what happened`, by the name of the reward that failed as a whole, or of the score that did."""
    disagreements: dict[str, float] = field(default_factory=dict)
    """Disagreement between repeated measurements, 0 to 1, by name, for the scores that have it."""
    texts: dict[str, str] = field(default_factory=dict)
    """What rewards returned beside their scores, for people who read verl's dumps."""
    figures: dict[str, dict[str, float | list[float]]] = field(default_factory=dict)
    """What the scores of a reward cost, such as calls and tokens, by reward; see `Scores`."""

    def dumps(self) -> str:
        """As JSON, without what is empty or 1."""
        weights = {name: weight for name, weight in self.weights.items() if weight != 1}
        values = {**vars(self), "weights": weights}
        return orjson.dumps(
            {key: value for key, value in values.items() if value or key == "scores"}
        ).decode()

    @classmethod
    def loads(cls, text: str) -> "RewardVector":
        """From what `dumps` returned."""
        return cls(**orjson.loads(text))

    def of(self, reward: str) -> dict[str, float | None]:
        """The scores of a reward that names them itself."""
        return {name: score for name, score in self.scores.items() if reward_of(name) == reward}

    def value(self, name: str) -> float | None:
        """A reward as one number: its score, or the weighted mean of the scores that it names itself. None where it is
        missing."""
        if name in self.scores:
            return self.scores[name]
        present = {key: score for key, score in self.of(name).items() if score is not None}
        weight = sum(self.weights[key] for key in present)
        return sum(self.weights[key] * score for key, score in present.items()) / weight if weight else None

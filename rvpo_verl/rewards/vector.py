"""The scores of one response on their way from the reward manager to the estimator.

They travel as one JSON string in verl's `reward_extra_info`: verl takes the keys of that dict from the
first sample only, turns values into numpy arrays and averages whatever is not a string in validation,
so that ragged names would be lost and nested values would break it.
"""

import json
from dataclasses import dataclass, field

KEY = "rvpo_rewards"


@dataclass(frozen=True)
class RewardVector:
    scores: dict[str, float | None]
    """Score by name, None where missing: not applicable, or failed."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weight by name; 1 where none is given."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why a reward failed, by the name of its specification."""

    def dumps(self) -> str:
        weights = {name: weight for name, weight in self.weights.items() if weight != 1}
        return json.dumps({"scores": self.scores, "weights": weights, "failures": self.failures})

    @classmethod
    def loads(cls, text: str) -> "RewardVector":
        return cls(**json.loads(text))


def family(name: str) -> str:
    """The name under which a score is logged: `rubric/mentions the dose` belongs to `rubric`."""
    return name.split("/", 1)[0]

"""What decides how rewards become advantages. `config.AdvantageConfig` is the same as a user writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rvpo_verl.core.aggregations import Aggregation, softmin
from rvpo_verl.core.schedule import Schedule

Whitening = Literal["token", "response", "none"]


@dataclass(frozen=True)
class Settings:
    """How the rewards of one response become its advantage."""

    aggregation: Aggregation = softmin
    """From the standardized rewards of a response to one value."""
    k: float | Schedule = 2.0
    """Risk coefficient of softmin: 0 is the mean, inf the minimum."""
    beta: float = 1.0
    """Penalty of the aggregation `variance`."""
    eps: float = 1e-6
    """Added to a group's standard deviation, as in GDPO and verl."""
    constant_rewards: Literal["keep", "drop"] = "keep"
    """Whether a reward that is constant in its group (Z = 0) is a member of the aggregate."""
    bonus: float = 0.0
    """Credit for rare successes of responses that lose nothing for them (`advantage.success_bonus`)."""
    center_groups: bool = True
    """Subtract each group's mean after the aggregation, so that a constant group receives 0."""
    weights: Mapping[str, float | Schedule] = field(default_factory=dict)
    """By family or reward: factors of the weights that the batch has, for weights that follow a schedule."""
    whitening: Whitening = "token"
    """Batch statistics over tokens (verl, GDPO), over responses, or no whitening."""

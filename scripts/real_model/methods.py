"""The compared methods by name."""

from dataclasses import dataclass

from torch import Tensor

from rvpo_verl.core import RewardBatch, Schedule, Settings, compute
from rvpo_verl.core.aggregations import mean
from rvpo_verl.core.compute import Result


@dataclass(frozen=True)
class Method:
    label: str
    settings: Settings
    sum_rewards: bool = False
    """GRPO: the number of met constraints is the only reward."""
    fluency: bool = False
    """One more reward: how probable the answer is for the untrained model."""


METHODS = {
    "gdpo": Method("GDPO", Settings(aggregation=mean)),
    "k2": Method("RVPO k=2", Settings(k=2.0)),
    "bonus": Method("RVPO k=2 with bonus", Settings(k=2.0, bonus=1.0)),
    "grpo": Method(
        "GRPO", Settings(aggregation=mean, whitening="none", center_groups=False), sum_rewards=True
    ),
    "k1": Method("RVPO k=1", Settings(k=1.0)),
    "paper": Method(
        "RVPO k 0.5 to 2, as the paper", Settings(k=Schedule("linear", 0.5, 2.0), center_groups=False)
    ),
    "gdpo_fluent": Method("GDPO, fluency beside", Settings(aggregation=mean), fluency=True),
    "k2_fluent": Method("RVPO k=2, fluency beside", Settings(k=2.0), fluency=True),
}


def advantages(
    method: Method, rewards_BM: Tensor, group_B: Tensor, length_B: Tensor, step: int, total_steps: int
) -> Result:
    """
    Args:
        rewards_BM: 0 or 1, NaN where the prompt has fewer constraints; more rewards after them.
    """
    if method.sum_rewards:
        rewards_BM = rewards_BM.nansum(dim=1, keepdim=True)
    return compute(RewardBatch(rewards_BM, group_B, length_B), method.settings, step, total_steps)

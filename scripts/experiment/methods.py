"""The compared methods by name: settings of the project's estimator, with some aggregations of this experiment.

Shapes: R runs, N responses of each run, M rewards. The responses of a group are consecutive.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from experiment import variants
from rvpo_verl.core import AggregationContext, RewardBatch, Schedule, Settings
from rvpo_verl.core.advantage import advantage, standardize
from rvpo_verl.core.aggregations import mean, minimum, variance
from rvpo_verl.core.schedule import value_at


@dataclass(frozen=True)
class Method:
    name: str
    label: str
    settings: Settings
    paper: bool = True
    """Whether the paper compares it."""
    sum_rewards: bool = False
    """GRPO: the sum of the raw rewards is the only reward."""
    target: float | None = None
    """Effective share of rewards at which `variants.adaptive_k` holds k."""
    shrink: bool = False
    """Scale each Z by the reliability of its judge; needs two verdicts."""


def _paper(name: str, label: str, *, sum_rewards: bool = False, **settings: Any) -> Method:
    return Method(name, label, Settings(center_groups=False, **settings), sum_rewards=sum_rewards)


def _ours(
    name: str, label: str, *, target: float | None = None, shrink: bool = False, **settings: Any
) -> Method:
    return Method(name, label, Settings(**settings), paper=False, target=target, shrink=shrink)


METHODS = {
    method.name: method
    for method in [
        _paper("grpo", "GRPO", sum_rewards=True, aggregation=mean, whitening="none"),
        _paper("gdpo", "GDPO", aggregation=mean),
        _paper("k0.5", "RVPO k=0.5", k=0.5),
        _paper("k1", "RVPO k=1", k=1.0),
        _paper("k2", "RVPO k=2", k=2.0),
        _paper("k5", "RVPO k=5", k=5.0),
        _paper("rising", "RVPO k 0.5 to 2", k=Schedule("linear", 0.5, 2.0)),
        _paper("min", "hard min", aggregation=minimum),
        _paper("variance", "mean − variance", aggregation=variance, beta=1.0),
        _ours("falling", "k 2 to 0.5", k=Schedule("linear", 2.0, 0.5), center_groups=False),
        _ours("k2+c", "k=2, centered"),
        _ours("k5+c", "k=5, centered", k=5.0),
        _ours("k2+c+drop", "k=2, centered, constants dropped", constant_rewards="drop"),
        _ours("adaptive", "adaptive k, 60% effective", target=0.6),
        _ours("mixed5", "half mean, half k=5", k=5.0, aggregation=variants.mixed),
        _ours("bonus2", "k=2 and unguarded bonus", aggregation=variants.softmin_with_bonus),
        _ours("guarded2", "k=2 and bonus", bonus=1.0),
        _ours("guarded5", "k=5 and bonus", k=5.0, bonus=1.0),
        _ours("guarded2 strict", "k=2 and bonus above 1.5", aggregation=variants.guarded_bonus),
        _ours("averse2", "mean to k=2 with the loss", aggregation=variants.averse_to_loss),
        _ours("tail2", "mean and tail of rare failures, k=2", aggregation=variants.mean_with_tail),
        _ours("tail5", "mean and tail of rare failures, k=5", k=5.0, aggregation=variants.mean_with_tail),
        _ours("k2+c+shrink", "k=2, centered, Z shrunk by reliability", shrink=True),
    ]
}


@dataclass(frozen=True)
class Computed:
    advantage_RN: Tensor
    """float32."""
    constant_RM: Tensor
    """Share of each run's groups in which the reward does not vary."""
    k_R: list[float]
    """The risk coefficient in force; 0 for GRPO."""


def compute(
    method: Method,
    rewards_RNM: Tensor,
    length_RN: Tensor,
    group_size: int,
    step: int,
    total_steps: int,
    *,
    verdicts: tuple[Tensor, Tensor] | None = None,
) -> Computed:
    """Advantages of the runs of one method, each run a batch of its own.

    Args:
        rewards_RNM: the rewards to learn from; the mean of `verdicts` if those are given.
        step, total_steps: from 1, as verl counts.
        verdicts: two (R, N, M) judgments of the same responses.

    Raises:
        ValueError: `shrink` without two verdicts.
    """
    if method.shrink and verdicts is None:
        raise ValueError(f"{method.name} scales Z by reliability, which needs two verdicts of each reward")
    R, N, _ = rewards_RNM.shape
    group_N = torch.arange(N) // group_size
    advantages, constants, k_R = [], [], []
    for run in range(R):
        rewards_NM, settings = rewards_RNM[run], method.settings
        standardized = standardize(rewards_NM, group_N)
        if method.sum_rewards:
            rewards_NM = rewards_NM.double().sum(dim=1, keepdim=True)
        if method.target is not None:
            varies_NM = standardized.present_BM & ~standardized.constant_BM
            k = variants.adaptive_k(standardized.z_BM, varies_NM, target=method.target)
            settings = replace(settings, k=k)
        if method.shrink and verdicts is not None:
            trust_M = variants.reliability(verdicts[0][run], verdicts[1][run], N // group_size)
            settings = replace(settings, aggregation=variants.shrunk(trust_M))
        context = AggregationContext(settings.k, settings.beta, step, total_steps)
        batch = RewardBatch(rewards_NM, group_N, length_RN[run])
        advantages.append(advantage(batch, settings, context).advantage_B)
        # Every response of a group has the group's flag, so one of each is enough.
        constants.append(standardized.constant_BM[::group_size].float().mean(dim=0))
        k_R.append(0.0 if method.sum_rewards else value_at(settings.k, step, total_steps))
    return Computed(torch.stack(advantages).float(), torch.stack(constants), k_R)

"""A batch in, advantages and metrics out."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rvpo_verl.core.advantage import Advantage, advantage
from rvpo_verl.core.aggregations import AggregationContext
from rvpo_verl.core.batch import RewardBatch
from rvpo_verl.core.metrics import batch_metrics
from rvpo_verl.core.schedule import value_at
from rvpo_verl.core.settings import Settings
from rvpo_verl.names import reward_of


@dataclass(frozen=True)
class Result:
    """What `compute` returns."""

    advantages_B: Tensor
    """float64, 0 for responses that take no part."""
    metrics: dict[str, float]
    """By name, beginning with `rvpo/`; `rvpo_verl.metrics.METRICS` says what they mean."""
    steps: Advantage
    """The steps between rewards and advantages: Z, weights, aggregate."""


def compute(
    batch: RewardBatch,
    settings: Settings | None = None,
    step: int | None = None,
    total_steps: int | None = None,
) -> Result:
    """Advantages of a batch by RVPO (arXiv:2605.05750), on the batch's device.

    Args:
        batch: the rewards of the responses, their groups, and their lengths.
        settings: every default if None.
        step: global step, from 1, for schedules; None outside of a trainer.
        total_steps: steps of the whole run.

    Raises:
        UserError: a schedule needs a step that is not given.
        ValueError: a negative k, or an unknown whitening.
    """
    settings = settings or Settings()
    context = AggregationContext(settings.k, settings.beta, step, total_steps)
    factors = {name: value_at(weight, step, total_steps) for name, weight in settings.weights.items()}
    batch = _weighted(batch, factors)
    steps = advantage(batch, settings, context)
    metrics = batch_metrics(steps, batch, settings, context)
    metrics |= {f"rvpo/{name}/scheduled_weight": float(factor) for name, factor in factors.items()}
    return Result(steps.advantage_B, metrics, steps)


def _weighted(batch: RewardBatch, factors: dict[str, float]) -> RewardBatch:
    """The batch with the weights of some families, or of all families of a reward, multiplied."""
    if not factors:
        return batch
    of_families = [factors.get(name, factors.get(reward_of(name), 1.0)) for name in batch.families]
    # Cells of no family have index -1: the last factor, of cells without a reward.
    factor_F = torch.tensor([*of_families, 1.0], dtype=torch.float64, device=batch.rewards_BM.device)
    factor_BM = factor_F[batch.family_BM]
    weights_BM = factor_BM if batch.weights_BM is None else batch.weights_BM * factor_BM
    return replace(batch, weights_BM=weights_BM)

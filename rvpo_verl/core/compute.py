"""A batch in, advantages and metrics out."""

from dataclasses import dataclass

from torch import Tensor

from rvpo_verl.core.advantage import Advantage, advantage
from rvpo_verl.core.aggregations import AggregationContext
from rvpo_verl.core.batch import RewardBatch
from rvpo_verl.core.metrics import batch_metrics
from rvpo_verl.core.settings import Settings


@dataclass(frozen=True)
class Result:
    advantages_B: Tensor
    """float64, 0 for responses that take no part."""
    metrics: dict[str, float]
    """By name, beginning with `rvpo/`."""
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
        settings: every default if None.
        step: global step, from 1, for schedules; None outside of a trainer.
        total_steps: steps of the whole run.

    Raises:
        UserError: a schedule needs a step that is not given.
    """
    settings = settings or Settings()
    context = AggregationContext(settings.k, settings.beta, step, total_steps)
    steps = advantage(batch, settings, context)
    return Result(steps.advantage_B, batch_metrics(steps, batch, settings, context), steps)

"""The advantage estimator `rvpo`, as verl calls it.

verl hands an estimator token-level rewards, a mask and group ids, but not the rewards one by one, the
global step or the metrics. Those arrive in an `AdvantageContext` that the attachment to the trainer opens
around the call.

Shapes: B rows of the batch, M rewards, T tokens.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rvpo_verl.config import AdvantageConfig, parse
from rvpo_verl.core import advantage as math
from rvpo_verl.core.batch import RewardMatrix
from rvpo_verl.core.metrics import batch_metrics
from rvpo_verl.core.schedule import k_at
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.vector import RewardVector

NAME = "rvpo"


@dataclass
class AdvantageContext:
    """What a trainer knows about a batch beyond what verl passes to an estimator."""

    vectors: Sequence[RewardVector]
    """Rewards of each row."""
    is_padding_B: np.ndarray
    """Rows that only fill the batch up; they repeat a real row's rewards."""
    owner_B: np.ndarray
    """Row whose rewards stand for each row: itself, or the last output of its agent session."""
    step: int | None
    """Global step, from 1; None outside a trainer."""
    total_steps: int | None
    """Steps of the whole run; None outside a trainer."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Filled by the estimator."""


CONTEXT: ContextVar[AdvantageContext | None] = ContextVar("rvpo_advantage_context", default=None)


def advantage_config(algorithm: Any) -> AdvantageConfig:
    """`algorithm.rvpo` of verl's configuration (a mapping or None), every default where it is absent."""
    values = algorithm.get("rvpo", None) if algorithm is not None else None
    if hasattr(values, "items"):
        from omegaconf import OmegaConf

        values = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    return parse(AdvantageConfig, {} if values is None else values, "algorithm.rvpo")


def compute_rvpo_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray | None = None,
    config: Any = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of a batch (equal, as in GRPO and GDPO: there is no critic).

    Args:
        token_level_rewards: (B, T) verl's scalar rewards; only their device is used.
        response_mask: (B, T) 1 on the tokens that are trained.
        index: (B,) group of each row, any hashable values (verl's `uid`).
        config: `config.algorithm`, of which `rvpo` is read.

    Returns:
        (B, T) float32 advantages, twice.

    Raises:
        ConfigError: no context was opened, no groups were given, or the rows do not fit.
    """
    context = CONTEXT.get()
    if context is None:
        raise ConfigError(
            "the rvpo estimator was called without its reward vectors: call it through a trainer or "
            "verl.trainer.ppo.ray_trainer.compute_advantage, which rvpo_verl attaches to; "
            "`rvpo-verl doctor` shows what is attached"
        )
    if index is None:
        raise ConfigError('the rvpo estimator needs groups: set data.non_tensor_batch["uid"]')
    rows = response_mask.shape[0]
    if not rows == len(index) == len(context.vectors):
        raise ConfigError(
            f"the batch has {rows} rows, but {len(index)} group ids and {len(context.vectors)} reward vectors"
        )
    settings = advantage_config(config)
    device = token_level_rewards.device

    _, group_B = np.unique(np.asarray(index).astype(str), return_inverse=True)
    matrix = RewardMatrix.from_vectors(context.vectors, group_B)
    group_B = torch.as_tensor(group_B, device=device)
    owner_B = torch.as_tensor(context.owner_B, device=device)
    valid_B = ~torch.as_tensor(context.is_padding_B, device=device) & (
        owner_B == torch.arange(rows, device=device)
    )
    # Read the mask's integers once, then only bytes; on a CPU, though, a sum of bytes copies them to integers.
    mask_BT = response_mask if device.type == "cpu" else response_mask.bool()
    # A session's tokens are all trained with the advantage of its last output, so they all weigh there.
    length_B = torch.zeros(rows, device=device).index_add_(0, owner_B, mask_BT.sum(dim=1).float())
    rewards_BM = torch.as_tensor(matrix.rewards_BM, device=device)

    # Other aggregations have no k: a schedule that cannot be followed here must not stop them.
    k = k_at(settings.k, context.step, context.total_steps) if settings.aggregation == "softmin" else None
    result = math.advantage(
        rewards_BM,
        group_B,
        length_B,
        valid_B=valid_B,
        weights_BM=torch.as_tensor(matrix.weights_BM, device=device),
        aggregation=settings.aggregation,
        k=0.0 if k is None else k,
        beta=settings.beta,
        eps=settings.eps,
        constant_rewards=settings.constant_rewards,
        bonus=settings.bonus,
        center_groups=settings.center_groups,
        whitening=settings.whitening,
    )
    family_BM = torch.as_tensor(matrix.family_BM, device=device)
    context.metrics.update(
        batch_metrics(result, rewards_BM, group_B, family_BM, matrix.families, valid_B=valid_B, k=k)
    )
    advantages_BT = math.broadcast(result.advantage_B[owner_B], mask_BT)
    return advantages_BT, advantages_BT

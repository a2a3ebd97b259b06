"""What verl writes to `trainer.rollout_data_dir`: fewer rollouts, and with their rewards.

Trainer V1 writes texts and score of every answer, and no reward; V0 writes no group. `rvpo-verl report` needs more, so
each line gets

    uid            `GROUP_SESSION_OUTPUT`, as V1 writes it
    rvpo_rewards   the reward vector; with other managers, what they put into `reward_extra_info`
    rvpo_trained   the advantage that the answer was trained with
    rvpo_settings  what computed it: estimator, aggregation, k at this step, ...
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from rvpo_verl.attach.adapter import Adapter
from rvpo_verl.attach.verl_config import NAME, advantage_config
from rvpo_verl.core.schedule import value_at
from rvpo_verl.names import SETTINGS, TRAINED


def sampled_rows(config: Any, step: int, groups: Sequence[str]) -> list[int]:
    """The rows to write: in every `dump_freq`-th step, those of `dump_groups` of the groups.

    Args:
        config: of the trainer.
        groups: of each row.
    """
    options = advantage_config(config.algorithm)
    if step % options.dump_freq:
        return []
    # By a hash rather than in the order of the batch, which may be that of the data.
    chosen = sorted(set(groups), key=lambda group: hashlib.blake2b(f"{step} {group}".encode()).digest())
    kept = set(chosen[: options.dump_groups])
    return [row for row, group in enumerate(groups) if group in kept]


def trained_columns(
    config: Any,
    step: int,
    total_steps: int | None,
    advantages: Iterable[Tensor],
    masks: Iterable[Tensor],
) -> dict[str, list[Any]]:
    """What each row was trained with, and by which settings.

    Args:
        advantages, masks: (T,) of each row.
    """
    trained = [_value(*row) for row in zip(advantages, masks, strict=True)]
    return {TRAINED: trained, SETTINGS: [_settings(config, step, total_steps)] * len(trained)}


def _value(advantage_T: Tensor, mask_T: Tensor) -> float | None:
    """The advantage of the trained tokens, the same for all of them; None without any."""
    values = advantage_T[mask_T.bool()]
    return float(values[0]) if len(values) else None


def _settings(config: Any, step: int, total_steps: int | None) -> dict[str, Any]:
    estimator = str(config.algorithm.adv_estimator)
    if estimator != NAME:
        return {"estimator": estimator}
    options = advantage_config(config.algorithm)
    k = value_at(Adapter.of(config).settings.k, step, total_steps)
    return {
        "estimator": estimator,
        "aggregation": options.aggregation,
        "k": k if math.isfinite(k) else str(k),  # JSON has no infinity
        "beta": options.beta,
        "eps": options.eps,
        "constant_rewards": options.constant_rewards,
        "bonus": options.bonus,
        "center_groups": options.center_groups,
    }

"""verl with one of `patches/` applied: it hands rewards, step and metrics to any estimator that names them.

Nothing is wrapped around its advantage computation then. It is recognised by `compute_advantage` taking
`extras`, not by its version.
"""

import inspect
from collections.abc import Mapping, MutableMapping
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from rvpo_verl.attach import estimator, launch, vectors
from rvpo_verl.attach.estimator import CONTEXT, NAME, AdvantageContext, advantage_config
from rvpo_verl.attach.sessions import last_output_of_session


def hands_over(function: Any) -> bool:
    """Whether `compute_advantage`, or a function in its place, takes what this module needs."""
    return "extras" in inspect.signature(function).parameters


def use(core_algos: ModuleType) -> None:
    """Makes `rvpo` in verl's registry the function below."""
    core_algos.ADV_ESTIMATOR_REGISTRY[NAME] = compute_rvpo_advantage


def compute_rvpo_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    non_tensor_batch: Mapping[str, np.ndarray],
    meta_info: Mapping[str, Any],
    index: np.ndarray | None = None,
    config: Any = None,
    trainer_config: Any = None,
    global_steps: int | None = None,
    total_training_steps: int | None = None,
    metrics: MutableMapping[str, Any] | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """The estimator, with its context made of what verl hands over by name.

    Args:
        non_tensor_batch: every key of `reward_extra_info`; from a trainer on TransferQueue also `sample_key`
            and `is_padding`.
        meta_info: has the steps where no trainer calls.

    See `rvpo_verl.attach.estimator.compute_rvpo_advantage` for the others, and what is returned and raised.
    """
    settings, rows = advantage_config(config), len(response_mask)
    rewards_of_rows = vectors.from_columns(non_tensor_batch, settings, config, rows)
    is_padding_B = np.asarray(non_tensor_batch.get("is_padding", np.zeros(rows)), dtype=bool)
    keys = non_tensor_batch.get("sample_key")
    metrics = {} if metrics is None else metrics
    rewards = None if trainer_config is None else launch.rewards_config(trainer_config)
    if rewards is not None:
        real = [row for row, padding in zip(rewards_of_rows, is_padding_B, strict=True) if not padding]
        metrics.update(launch.scoring_metrics(real, rewards))

    context = AdvantageContext(
        vectors=rewards_of_rows,
        is_padding_B=is_padding_B,
        owner_B=np.arange(rows) if keys is None else last_output_of_session(list(keys)),
        step=meta_info.get("global_steps") if global_steps is None else global_steps,
        total_steps=meta_info.get("total_training_steps")
        if total_training_steps is None
        else total_training_steps,
    )
    token = CONTEXT.set(context)
    try:
        return estimator.compute_rvpo_advantage(token_level_rewards, response_mask, index, config)
    finally:
        CONTEXT.reset(token)
        metrics.update(context.metrics)

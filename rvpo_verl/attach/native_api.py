"""verl with one of `patches/` applied: it passes rewards, step and metrics to any estimator that names them.

Nothing is wrapped around its advantage computation then. It is recognized by `compute_advantage` taking
`extras`, not by its version.
"""

import inspect
from collections.abc import Mapping, MutableMapping
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from rvpo_verl.attach.adapter import Adapter, Rows
from rvpo_verl.attach.sessions import last_output_of_session
from rvpo_verl.attach.verl_config import NAME


def supports_extras(function: Any) -> bool:
    """Whether `compute_advantage`, or a function in its place, passes what this module needs."""
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
    """The estimator of `attach.adapter`, with everything it needs passed by name.

    Args:
        non_tensor_batch: every key of `reward_extra_info`; from a trainer on TransferQueue also `sample_key`
            and `is_padding`.
        meta_info: has the steps where no trainer calls.
    """
    adapter = Adapter(config) if trainer_config is None else Adapter.of(trainer_config)
    padding, keys = non_tensor_batch.get("is_padding"), non_tensor_batch.get("sample_key")
    rows = Rows(
        columns=non_tensor_batch,
        step=meta_info.get("global_steps") if global_steps is None else global_steps,
        total_steps=meta_info.get("total_training_steps")
        if total_training_steps is None
        else total_training_steps,
        is_padding_B=None if padding is None else np.asarray(padding, dtype=bool),
        owner_B=None if keys is None else last_output_of_session(list(keys)),
    )
    metrics = {} if metrics is None else metrics
    metrics.update(adapter.scoring_metrics(rows))
    advantages_BT, computed = adapter.advantages(rows, response_mask, index, token_level_rewards.device)
    metrics.update(computed)
    return advantages_BT, advantages_BT

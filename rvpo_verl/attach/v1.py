"""Trainer V1 (verl 0.9, on TransferQueue): `PPOTrainer._compute_advantage`, in all of its modes.

The trainer knows the step and the metrics, and its batch names every row of TransferQueue, where the scores
lie in `extra_fields`, which the trainer itself does not fetch for an estimator.
"""

from types import ModuleType
from typing import Any

import numpy as np

from rvpo_verl import advice
from rvpo_verl.attach import launch, vectors
from rvpo_verl.attach.seams import wrap
from rvpo_verl.estimator import CONTEXT, NAME, AdvantageContext, advantage_config


def attach_trainer(module: ModuleType) -> str:
    wrap(module.PPOTrainer, "_compute_advantage", ("self", "batch", "metrics"), _compute_advantage)
    wrap(module.PPOTrainer, "__init__", ("self", "config"), launch.validate_in_constructor)
    return "PPOTrainer: configuration, reward vectors, step, metrics"


def attach_metrics(module: ModuleType) -> str:
    wrap(module.MetricsAggregator, "_get_aggregation_type", ("self", "metric_name"), _aggregation_type)
    return "MetricsAggregator: rvpo/* are averaged"


def _compute_advantage(original: Any, self: Any, batch: Any, metrics: dict[str, Any]) -> Any:
    algorithm = self.config.algorithm
    rewards = launch.rewards_config(self.config)
    if algorithm.adv_estimator != NAME and rewards is None:
        return original(self, batch, metrics)

    settings = advantage_config(algorithm)
    rows = vectors.from_infos(_reward_infos(self, batch, settings, algorithm), settings, algorithm)
    is_padding_B = np.array([bool(tag.get("is_padding", False)) for tag in batch.tags])
    if rewards is not None:
        real = [row for row, padding in zip(rows, is_padding_B, strict=True) if not padding]
        metrics.update(launch.failure_metrics(real, rewards))
    if algorithm.adv_estimator != NAME:
        return original(self, batch, metrics)

    context = AdvantageContext(
        vectors=rows,
        is_padding_B=is_padding_B,
        owner_B=_last_output_of_session(batch.keys),
        step=self.global_steps,
        total_steps=self.total_training_steps,
    )
    token = CONTEXT.set(context)
    try:
        return original(self, batch, metrics)
    finally:
        CONTEXT.reset(token)
        metrics.update(advice.follow(self, context.metrics))


def _reward_infos(trainer: Any, batch: Any, settings: Any, algorithm: Any) -> list[dict[str, Any]]:
    import transfer_queue as tq

    # A colocated reward model scores after the rollout and writes its keys beside the other fields.
    colocated = trainer.reward_loop_manager.reward_loop_worker_handles is None
    keys = vectors.fields(settings, algorithm)
    wanted = [key for key in keys if key != vectors.KEY] if colocated else ["extra_fields"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=wanted)
    # Depending on the backend a non-tensor field is a list, a stack or an array of wrapped values.
    columns = {name: [getattr(value, "data", value) for value in list(data[name])] for name in wanted}
    if colocated:
        return [dict(zip(wanted, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [extra.get("reward_extra_info", {}) for extra in columns["extra_fields"]]


def _last_output_of_session(keys: list[str]) -> np.ndarray:
    """Row of the last output of each row's agent session; keys are `{uid}_{session}_{output}`."""
    last: dict[str, tuple[int, int]] = {}
    sessions = []
    for row, key in enumerate(keys):
        session, _, output = key.rpartition("_")
        sessions.append(session)
        last[session] = max(last.get(session, (-1, -1)), (int(output), row))
    return np.array([last[session][1] for session in sessions])


def _aggregation_type(original: Any, self: Any, metric_name: str) -> str:
    # verl decides by substrings: a reward called "summary" would be added up over mini-steps.
    return "weighted_avg" if metric_name.startswith("rvpo/") else original(self, metric_name)

"""Trainer V1 (on TransferQueue): `PPOTrainer._compute_advantage`, in all of its modes.

In verl 0.8 it is `main_ppo_sync`, a script: run as such, its classes belong to `__main__`, which no import hook sees.

The trainer knows the step and the metrics, and its batch names every row of TransferQueue, where the scores
are in `extra_fields`, which the trainer itself does not fetch for an estimator.
"""

import sys
from types import ModuleType
from typing import Any

import numpy as np

from rvpo_verl.attach import dumps, native_api, startup
from rvpo_verl.attach.adapter import Adapter, Rows, planned_steps
from rvpo_verl.attach.estimator import Call, opened
from rvpo_verl.attach.hooks import seam, wrap
from rvpo_verl.attach.sessions import last_output_of_session
from rvpo_verl.rewards.vector import KEY


def attach_trainer(module: ModuleType) -> str:
    wrap(module.PPOTrainer, "__init__", ("self", "config"), startup.validate_in_constructor)
    wrap(module.PPOTrainer, "_log_rollout_data", ("self", "batch"), _log_rollout_data)
    wrap(module.PPOTrainer, "_dump_generations", ("self", "reward_extra_infos_dict"), _dump_generations)
    if native_api.supports_extras(
        seam(module, "compute_advantage_for_multi_trajectories", ("data", "config"))
    ):
        return "PPOTrainer: configuration; verl passes the rest (patched)"
    wrap(module.PPOTrainer, "_compute_advantage", ("self", "batch", "metrics"), _compute_advantage)
    return "PPOTrainer: configuration, reward vectors, step, metrics"


def attach_script(main_ppo: ModuleType) -> str:
    """Attaches to a trainer that is defined in the script which asks `main_ppo` to run it (verl 0.8)."""

    def run_ppo(original: Any, *args: Any, **kwargs: Any) -> Any:
        script = sys.modules["__main__"]
        if hasattr(getattr(script, "PPOTrainer", None), "_compute_advantage"):
            attach_trainer(script)  # Ray sends classes of `__main__` to its workers as they are now
        return original(*args, **kwargs)

    wrap(main_ppo, "run_ppo", ("config", "task_runner_class"), run_ppo)
    return "run_ppo: trainers of a script"


def attach_metrics(module: ModuleType) -> str:
    wrap(module.MetricsAggregator, "_get_aggregation_type", ("self", "metric_name"), _aggregation_type)
    return "MetricsAggregator: rvpo/* are averaged"


def _compute_advantage(original: Any, self: Any, batch: Any, metrics: dict[str, Any]) -> Any:
    adapter = Adapter.of(self.config)
    if not adapter.active:
        return original(self, batch, metrics)
    owner_B = last_output_of_session(batch.keys)
    rows = Rows(
        columns=_columns(self, batch, adapter, owner_B),
        step=self.global_steps,
        total_steps=planned_steps(self),
        is_padding_B=np.array([bool(tag.get("is_padding", False)) for tag in batch.tags]),
        owner_B=owner_B,
    )
    metrics.update(adapter.scoring_metrics(rows, self))
    with opened(Call(adapter, metrics, self, rows)):
        return original(self, batch, metrics)


def _log_rollout_data(original: Any, self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
    """Has a sample of the batch written, and keeps its rewards for `_dump_generations`, which it calls."""
    adapter = Adapter.of(self.config)
    if not adapter.active:
        return original(self, batch, *args, **kwargs)
    keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
    rows = dumps.sampled_rows(self.config, self.global_steps, [key.rsplit("_", 2)[0] for key in keys])
    if not rows:
        return None
    batch = batch.select_keys([keys[row] for row in rows])
    self._rvpo_dump = batch.keys, _dumped_columns(self, batch, adapter)
    try:
        return original(self, batch, *args, **kwargs)
    finally:
        del self._rvpo_dump


def _dump_generations(
    original: Any, self: Any, *, reward_extra_infos_dict: dict[str, Any], **kwargs: Any
) -> Any:
    keys, columns = getattr(self, "_rvpo_dump", ((), {}))  # nothing in validation, which has the rewards
    row_of = {key: row for row, key in enumerate(keys)}
    ordered = {
        name: [values[row_of[key]] for key in reward_extra_infos_dict["uid"]]
        for name, values in columns.items()
    }
    return original(self, reward_extra_infos_dict=reward_extra_infos_dict | ordered, **kwargs)


def _dumped_columns(trainer: Any, batch: Any, adapter: Adapter) -> dict[str, list[Any]]:
    import transfer_queue as tq

    fields = ["advantages", "response_mask"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    steps = trainer.global_steps, planned_steps(trainer)
    owner_B = last_output_of_session(batch.keys)
    rewards = _columns(trainer, batch, adapter, owner_B)
    return rewards | dumps.trained_columns(trainer.config, *steps, *(data[name].unbind() for name in fields))


def _columns(trainer: Any, batch: Any, adapter: Adapter, owner_B: np.ndarray) -> dict[str, list[Any]]:
    """What `reward_extra_info` of each row's owner has: the reward vectors, or every key that some row has.

    Only owners are fetched: a row brings everything that its agent loop has put beside the scores.
    """
    import transfer_queue as tq

    # A colocated reward model scores after the rollout and writes its keys beside the other fields.
    reward_model = trainer.config.reward.reward_model
    colocated = reward_model.enable and not reward_model.enable_resource_pool
    wanted = [key for key in adapter.keys if key != KEY] if colocated else ["extra_fields"]
    owners, position_B = np.unique(owner_B, return_inverse=True)
    keys = [batch.keys[row] for row in owners]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=wanted)
    # Depending on the backend a non-tensor field is a list, a stack or an array of wrapped values.
    fields = {name: [getattr(value, "data", value) for value in list(data[name])] for name in wanted}
    if not colocated:
        infos = [extra.get("reward_extra_info", {}) for extra in fields["extra_fields"]]
        vectors = all(KEY in info for info in infos)
        names = [KEY] if vectors else dict.fromkeys(name for info in infos for name in info)
        fields = {name: [info.get(name) for info in infos] for name in names}
    return {name: [values[position] for position in position_B.tolist()] for name, values in fields.items()}


def _aggregation_type(original: Any, self: Any, metric_name: str) -> str:
    # verl decides by substrings: a reward called "summary" would be added up over mini-steps.
    return "weighted_avg" if metric_name.startswith("rvpo/") else original(self, metric_name)

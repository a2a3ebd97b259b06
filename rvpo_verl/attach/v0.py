"""Trainer V0, and the asynchronous trainers built on its `compute_advantage`.

`compute_advantage(data, ...)` is the one place where all of them call an estimator, with the rewards already
in `data.non_tensor_batch`. It does not know the trainer: the step and the place for metrics come from the
methods around it. Called on its own, with a batch and a config, it works without them.
"""

import inspect
from types import ModuleType
from typing import Any

from rvpo_verl.attach import dumps, native_api, startup
from rvpo_verl.attach.adapter import Adapter, Rows, planned_steps
from rvpo_verl.attach.estimator import Call, current_call, opened
from rvpo_verl.attach.hooks import seam, wrap
from rvpo_verl.attach.verl_config import NAME


def attach_trainer(module: ModuleType) -> str:
    # Deprecated since 0.9: the decorator hides the class behind a function.
    trainer = inspect.unwrap(module.RayPPOTrainer)
    wrap(trainer, "__init__", ("self", "config"), startup.validate_in_constructor)
    wrap(trainer, "_log_rollout_data", ("self", "batch", "reward_extra_infos_dict"), _log_rollout_data)
    if native_api.supports_extras(seam(module, "compute_advantage", ("data", "adv_estimator", "config"))):
        native_api.use(module.core_algos)
        return "RayPPOTrainer: configuration; verl passes the rest (patched)"
    wrap(module, "compute_advantage", ("data", "adv_estimator", "config"), _compute_advantage)
    wrap(module, "compute_data_metrics", ("batch",), _compute_data_metrics)
    wrap(trainer, "fit", ("self",), _fit)
    return "compute_advantage; RayPPOTrainer: configuration, step, metrics"


def attach_separation(module: ModuleType) -> str:
    trainer = inspect.unwrap(module.SeparateRayPPOTrainer)
    if native_api.supports_extras(seam(module, "compute_advantage", ("data", "adv_estimator", "config"))):
        return "SeparateRayPPOTrainer: verl passes everything (patched)"
    wrap(trainer, "_fit_compute_advantage", ("self", "batch"), _fit_compute_advantage)
    return "SeparateRayPPOTrainer: step, metrics"


def _compute_advantage(original: Any, *args: Any, **kwargs: Any) -> Any:
    call = current_call()
    if call is not None and call.rows is not None:  # trainer V1 ends here too, and has set the rows itself
        return original(*args, **kwargs)
    arguments = inspect.signature(original).bind(*args, **kwargs).arguments
    data, estimates = arguments["data"], arguments["adv_estimator"] == NAME
    if call is None:
        if not estimates:
            return original(*args, **kwargs)
        call = Call(Adapter(arguments.get("config")), metrics={})
    elif not call.adapter.active:
        return original(*args, **kwargs)

    trainer = call.trainer
    steps = data.meta_info if trainer is None else {
        "global_steps": trainer.global_steps, "total_training_steps": _total_steps(trainer)
    }  # fmt: skip
    rows = Rows(data.non_tensor_batch, steps.get("global_steps"), steps.get("total_training_steps"))
    call.metrics.update(call.adapter.scoring_metrics(rows, trainer))
    with opened(Call(call.adapter, call.metrics, trainer, rows)):
        return original(*args, **kwargs)


def _total_steps(trainer: Any) -> int | None:
    # The fully asynchronous trainer learns its number of steps later, under another name.
    total = getattr(trainer, "total_train_steps", None)
    if total is None and getattr(trainer, "total_training_steps", None) is not None:
        return planned_steps(trainer)
    return None if total is None else int(total)


def _log_rollout_data(
    original: Any, self: Any, batch: Any, reward_extra_infos_dict: dict[str, Any], *args: Any, **kwargs: Any
) -> Any:
    if not Adapter.of(self.config).active:
        return original(self, batch, reward_extra_infos_dict, *args, **kwargs)
    groups = batch.non_tensor_batch["uid"].tolist()
    rows = dumps.sampled_rows(self.config, self.global_steps, groups)
    if not rows:
        return None
    infos = {
        name: [values[row] for row in rows]
        for name, values in reward_extra_infos_dict.items()
        if len(values) == len(groups)
    }
    batch = batch.select_idxs(rows)
    steps = self.global_steps, _total_steps(self)
    columns = dumps.trained_columns(
        self.config, *steps, batch.batch["advantages"].unbind(), batch.batch["response_mask"].unbind()
    )
    uids = [f"{groups[row]}_{row}_0" for row in rows]
    return original(self, batch, infos | columns | {"uid": uids}, *args, **kwargs)


def _fit(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    with opened(Call(Adapter.of(self.config), metrics={}, trainer=self)):
        return original(self, *args, **kwargs)


def _compute_data_metrics(original: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    metrics: dict[str, Any] = original(*args, **kwargs)
    call = current_call()
    if call is not None:
        metrics.update(call.metrics)
        call.metrics.clear()
    return metrics


def _fit_compute_advantage(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    with opened(Call(Adapter.of(self.config), self.metrics, trainer=self)):
        return original(self, *args, **kwargs)

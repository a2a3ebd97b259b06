"""Trainer V0, and the asynchronous trainers built on its `compute_advantage`.

`compute_advantage(data, ...)` is the one place where all of them call an estimator, with the rewards already
in `data.non_tensor_batch`. It does not know the trainer: the step and the place for metrics come from the
methods around it. Called on its own, with a batch and a config, it works without them.
"""

import inspect
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from rvpo_verl.attach import launch, vectors
from rvpo_verl.attach import native_api as handed
from rvpo_verl.attach.estimator import CONTEXT, NAME, AdvantageContext, advantage_config
from rvpo_verl.attach.hooks import seam, wrap
from rvpo_verl.core import monitor as advice


@dataclass
class _Run:
    trainer: Any
    metrics: dict[str, float] = field(default_factory=dict)
    """Taken by the trainer with its next metrics."""


_RUN: ContextVar[_Run | None] = ContextVar("rvpo_v0_run", default=None)


def attach_trainer(module: ModuleType) -> str:
    # Deprecated since 0.9: the decorator hides the class behind a function.
    trainer = inspect.unwrap(module.RayPPOTrainer)
    wrap(trainer, "__init__", ("self", "config"), launch.validate_in_constructor)
    if handed.hands_over(seam(module, "compute_advantage", ("data", "adv_estimator", "config"))):
        handed.use(module.core_algos)
        return "RayPPOTrainer: configuration; the rest is handed over (patched verl)"
    wrap(module, "compute_advantage", ("data", "adv_estimator", "config"), _compute_advantage)
    wrap(module, "compute_data_metrics", ("batch",), _compute_data_metrics)
    wrap(trainer, "fit", ("self",), _fit)
    return "compute_advantage; RayPPOTrainer: configuration, step, metrics"


def attach_separation(module: ModuleType) -> str:
    trainer = inspect.unwrap(module.SeparateRayPPOTrainer)
    if handed.hands_over(seam(module, "compute_advantage", ("data", "adv_estimator", "config"))):
        return "SeparateRayPPOTrainer: all is handed over (patched verl)"
    wrap(trainer, "_fit_compute_advantage", ("self", "batch"), _fit_compute_advantage)
    return "SeparateRayPPOTrainer: step, metrics"


def _compute_advantage(original: Any, *args: Any, **kwargs: Any) -> Any:
    call = inspect.signature(original).bind(*args, **kwargs).arguments
    data, algorithm, run = call["data"], call.get("config"), _RUN.get()
    if CONTEXT.get() is not None:  # trainer V1 ends here too, and has opened the context itself
        return original(*args, **kwargs)
    rewards = launch.rewards_config(run.trainer.config) if run is not None else None
    if call["adv_estimator"] != NAME and rewards is None:
        return original(*args, **kwargs)

    settings = advantage_config(algorithm)
    rows = vectors.from_columns(data.non_tensor_batch, settings, algorithm, len(data))
    if rewards is not None:
        run.metrics.update(launch.scoring_metrics(rows, rewards))
    if call["adv_estimator"] != NAME:
        return original(*args, **kwargs)

    context = AdvantageContext(
        vectors=rows,
        is_padding_B=np.zeros(len(data), dtype=bool),
        owner_B=np.arange(len(data)),
        step=run.trainer.global_steps if run else data.meta_info.get("global_steps"),
        total_steps=_total_steps(run.trainer) if run else data.meta_info.get("total_training_steps"),
    )
    token = CONTEXT.set(context)
    try:
        return original(*args, **kwargs)
    finally:
        CONTEXT.reset(token)
        if run is not None:
            run.metrics.update(advice.follow(run.trainer, context.metrics))


def _total_steps(trainer: Any) -> int | None:
    # The fully asynchronous trainer learns its number of steps later, under another name.
    total = getattr(trainer, "total_train_steps", None) or getattr(trainer, "total_training_steps", None)
    return None if total is None else int(total)


def _fit(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    token = _RUN.set(_Run(self))
    try:
        return original(self, *args, **kwargs)
    finally:
        _RUN.reset(token)


def _compute_data_metrics(original: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    metrics = original(*args, **kwargs)
    run = _RUN.get()
    if run is not None:
        metrics.update(run.metrics)
        run.metrics.clear()
    return metrics


def _fit_compute_advantage(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    token = _RUN.set(_Run(self, self.metrics))
    try:
        return original(self, *args, **kwargs)
    finally:
        _RUN.reset(token)

"""The global step of a rollout and whether it is a validation: verl's agent loops know both, and do not pass them on.

An agent loop worker runs each rollout as `_run_agent_loop`, in a task of its own, and sends what `_compute_score` is
given of the row to a reward manager.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from rvpo_verl.attach.hooks import wrap

STEP, VALIDATE = "rvpo_global_step", "rvpo_validate"
"""Columns added to the row that a reward manager receives."""

_TRAJECTORY: ContextVar[Mapping[str, Any]] = ContextVar("rvpo_trajectory")


def attach_worker(module: ModuleType) -> str:
    worker = module.AgentLoopWorker
    wrap(worker, "_run_agent_loop", ("self", "sampling_params", "trajectory"), _run_agent_loop)
    wrap(worker, "_compute_score", ("self", "kwargs"), _compute_score)
    return "AgentLoopWorker: step and validation, for rewards"


def of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of rewards in a row that a reward manager received."""
    step, validate = row.get(STEP), row.get(VALIDATE)
    known = step is not None and step >= 0  # verl has -1 where it knows none
    return {
        "global_step": int(step) if known else None,
        "validate": None if validate is None else bool(validate),
    }


async def _run_agent_loop(
    original: Any, self: Any, sampling_params: Any, trajectory: Any, *args: Any, **kwargs: Any
) -> Any:
    _TRAJECTORY.set(trajectory)  # of this task
    return await original(self, sampling_params, trajectory, *args, **kwargs)


async def _compute_score(
    original: Any, self: Any, *args: Any, kwargs: Mapping[str, Any], **others: Any
) -> Any:
    trajectory = _TRAJECTORY.get({})
    told = {STEP: trajectory.get("step"), VALIDATE: trajectory.get("validate")}
    return await original(
        self, *args, kwargs=kwargs | {k: v for k, v in told.items() if v is not None}, **others
    )

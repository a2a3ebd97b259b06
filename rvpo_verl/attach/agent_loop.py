"""What verl's agent loops know and do not pass on: the global step of a rollout, whether it is a validation, and which
tokens of the response the model wrote.

An agent loop worker runs each rollout as `_run_agent_loop`, in a task of its own, and sends what `_compute_score` is
given of the row to a reward manager.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from rvpo_verl.attach.group_filter import add_digest
from rvpo_verl.attach.hooks import wrap

STEP, VALIDATE, MASK = "rvpo_global_step", "rvpo_validate", "rvpo_response_mask"
"""Columns added to the row that a reward manager receives."""

_TRAJECTORY: ContextVar[Mapping[str, Any]] = ContextVar("rvpo_trajectory")


def attach_worker(module: ModuleType) -> str:
    worker = module.AgentLoopWorker
    wrap(worker, "_run_agent_loop", ("self", "sampling_params", "trajectory"), _run_agent_loop)
    wrap(worker, "_compute_score", ("self", "kwargs"), _compute_score)
    return "AgentLoopWorker: step, validation and response mask for rewards; a number for verl's filter of groups"


def of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of rewards in a row that a reward manager received."""
    step, validate = row.get(STEP), row.get(VALIDATE)
    return {
        "global_step": int(step)
        if step is not None and step >= 0
        else None,  # verl has -1 where it knows none
        "validate": None if validate is None else bool(validate),
    }


async def _run_agent_loop(
    original: Any, self: Any, sampling_params: Any, trajectory: Any, *args: Any, **kwargs: Any
) -> Any:
    _TRAJECTORY.set(trajectory)  # of this task
    return await original(self, sampling_params, trajectory, *args, **kwargs)


async def _compute_score(
    original: Any, self: Any, outputs: Any, *args: Any, kwargs: dict[str, Any], **others: Any
) -> Any:
    # A session has several outputs, of which the last one is scored; verl before 0.8 has one.
    scored = outputs[-1] if isinstance(outputs, list) and outputs else outputs
    trajectory = _TRAJECTORY.get({})
    given = {
        STEP: trajectory.get("step"),
        VALIDATE: trajectory.get("validate"),
        MASK: getattr(scored, "response_mask", None),
    }
    result = await original(
        self, outputs, *args, kwargs=kwargs | {k: v for k, v in given.items() if v is not None}, **others
    )
    info = getattr(scored, "extra_fields", {}).get("reward_extra_info")
    if info is not None:
        add_digest(info, self.config)
    return result

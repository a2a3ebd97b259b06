"""The advantage estimator `rvpo`, as an unpatched verl calls it.

verl calls an estimator without the rewards one by one, the global step, or a place for metrics. The trainer's
attachment opens a `Call` around verl's own code, in which the estimator finds them.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from rvpo_verl.attach.adapter import Adapter, Rows
from rvpo_verl.errors import ConfigError


@dataclass
class Call:
    """An advantage computation of a trainer, while verl's own code runs between its parts."""

    adapter: Adapter
    metrics: MutableMapping[str, Any]
    """The trainer's own, or some that it takes with its next metrics."""
    trainer: Any = None
    rows: Rows | None = None
    """Set while the estimator may be called."""


_CALL: ContextVar[Call | None] = ContextVar("rvpo_call", default=None)


def current_call() -> Call | None:
    return _CALL.get()


@contextmanager
def opened(call: Call) -> Iterator[Call]:
    """Makes `call` the current one for what is called inside."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


def compute_rvpo_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray | None = None,
    config: Any = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """The advantage estimator `rvpo`, as verl calls it.

    Args:
        token_level_rewards: (B, T) verl's scalar rewards; only their device is used.
        response_mask: (B, T) 1 on the tokens that are trained.
        index: (B,) group of each row, any hashable values (verl's `uid`).

    Returns:
        (B, T) float32 advantages and returns (equal, as in GRPO and GDPO: there is no critic).

    Raises:
        ConfigError: no call is open, no groups were given, or the rows do not fit.
    """
    call = current_call()
    if call is None or call.rows is None:
        raise ConfigError(
            "the rvpo estimator was called without its reward vectors: call it through a trainer or "
            "verl.trainer.ppo.ray_trainer.compute_advantage, which rvpo_verl attaches to; "
            "`rvpo-verl doctor` shows what is attached"
        )
    advantages_BT, metrics = call.adapter.advantages(
        call.rows, response_mask, index, token_level_rewards.device
    )
    call.metrics.update(metrics)
    return advantages_BT, advantages_BT

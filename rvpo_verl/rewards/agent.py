"""Rewards that tools and agent loops gave while the response was written, as rewards beside the others."""

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

__all__ = ["tool_reward", "turn_score"]

Reduction = Literal["mean", "sum", "min", "max", "last"]
_REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean, "sum": sum, "min": min, "max": max, "last": lambda values: values[-1],
}  # fmt: skip


def tool_reward(tool_rewards: Sequence[float], reduce: Reduction = "mean") -> float | None:
    """What tools returned as rewards, for all calls of a response together; missing where none was called.

    Raises:
        ValueError: an unknown `reduce`.
    """
    return _reduced(tool_rewards, reduce)


def turn_score(turn_scores: Sequence[float], reduce: Reduction = "mean") -> float | None:
    """The scores that an agent loop gave to turns, together; missing where it gave none.

    Raises:
        ValueError: an unknown `reduce`.
    """
    return _reduced(turn_scores, reduce)


def _reduced(values: Sequence[float], reduce: str) -> float | None:
    if reduce not in _REDUCE:
        raise ValueError(f"reduce={reduce!r}; accepted: {', '.join(_REDUCE)}")
    return float(_REDUCE[reduce](values)) if values else None

"""Numbers that change with the trainer's global step: the risk coefficient k, and weights of rewards."""

import math
from dataclasses import dataclass
from typing import Literal

from rvpo_verl.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """From `start` at step 1 to `end` at step `over`, kept afterwards (paper: linear, 0.5 to 2.0)."""

    shape: Literal["linear", "cosine"]
    """Straight, or slow at both ends."""
    start: float
    """Value at step 1."""
    end: float
    """Value at step `over`, and from there on."""
    over: int | None = None
    """Length in global steps; None for all steps of the training."""

    def at(self, step: int | None, total_steps: int | None) -> float:
        """The value at a global step, so that a resumed run continues where it stopped.

        Args:
            step: global step of the update being computed, counted from 1; None if unknown.
            total_steps: steps of the whole run; None if unknown.

        Raises:
            UserError: the schedule needs a step or a run length that is unknown.
        """
        if step is None:
            raise UserError(
                f"k, or a weight, follows a {self.shape} schedule, but the global step is not known here: "
                'set data.meta_info["global_steps"], or give a number in place of the schedule'
            )
        over = total_steps if self.over is None else self.over
        if over is None:
            raise UserError(
                "the schedule runs over the whole training, but its number of steps is not known here: "
                'set data.meta_info["total_training_steps"], or give `over` as a number of steps'
            )
        progress = min(max(step - 1, 0) / max(over - 1, 1), 1.0)
        if self.shape == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return self.start + (self.end - self.start) * progress


def value_at(value: "float | Schedule", step: int | None, total_steps: int | None) -> float:
    """A number, or a schedule at a global step."""
    return value.at(step, total_steps) if isinstance(value, Schedule) else value

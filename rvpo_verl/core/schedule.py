"""The risk coefficient k at a global step."""

import math

from rvpo_verl.config import Schedule


def k_at(k: float | Schedule, step: int | None, total_steps: int | None) -> float:
    """k at the trainer's global step, so that a resumed run goes on where it stopped.

    Args:
        k: a number, or a schedule from `from` at step 1 to `to` at step `over`, kept afterwards.
        step: global step of the update being computed, counted from 1; None if not known.
        total_steps: steps of the whole run, which `over: run` means; None if not known.

    Raises:
        ValueError: the schedule needs a step or a run length that the caller does not have.
    """
    if not isinstance(k, Schedule):
        return k
    if k.schedule == "constant":
        return k.from_
    if step is None:
        raise ValueError(
            f"k follows a {k.schedule} schedule, but the global step is not known here: "
            'set data.meta_info["global_steps"], or give algorithm.rvpo.k as a number'
        )
    over = total_steps if k.over == "run" else k.over
    if over is None:
        raise ValueError(
            "k's schedule runs over the whole training, but its number of steps is not known here: "
            'set data.meta_info["total_training_steps"], or give `over` as a number of steps'
        )
    progress = min(max(step - 1, 0) / max(over - 1, 1), 1.0)
    if k.schedule == "cosine":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return k.from_ + (k.to - k.from_) * progress

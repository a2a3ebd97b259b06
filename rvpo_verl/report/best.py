"""Which step of a run to keep: the best by the sum of its rewards, and the best by its lowest reward.

The sum is the score that verl validates; it does not show a reward that is neglected for another. For the lowest
reward, each reward is scaled to its own range over the run, 0 at its worst and 1 at its best, and a step is
rated by the lowest of them.
"""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rvpo_verl.errors import UserError
from rvpo_verl.report.logs import SCORE, Curve, read_curves, trained, validated

CHECKPOINT = "global_step_"


@dataclass(frozen=True)
class Candidate:
    step: int
    rewards: Mapping[str, float]
    sum: float
    """verl's scalar score, the weighted sum of the rewards; their plain sum where it was not logged."""
    lowest: float
    """The lowest reward, each on its own range over the run."""
    lowest_name: str


@dataclass(frozen=True)
class Best:
    by_sum: Candidate
    by_lowest: Candidate


def best_step(logs: Sequence[Path], steps: Collection[int] | None = None) -> Best:
    """
    Args:
        logs: of one run; where it was resumed, in the order of its starts.
        steps: the only ones to choose from, such as those with a checkpoint; all if None.

    Raises:
        UserError: nothing to choose from.
    """
    candidates = _candidates(read_curves(*logs))
    if not candidates:
        raise UserError(
            f"{', '.join(map(str, logs))}: no step has any reward; expected val-aux/SOURCE/NAME/mean@N, which verl "
            "logs every trainer.test_freq steps, or rvpo/NAME/mean"
        )
    eligible = [candidate for candidate in candidates if steps is None or candidate.step in steps]
    if not eligible:
        raise UserError(
            f"no step has both rewards and a checkpoint: rewards at {[c.step for c in candidates]}, checkpoints at "
            f"{sorted(steps or ())}. Choose trainer.test_freq and trainer.save_freq so that some steps have both"
        )
    return Best(
        by_sum=max(eligible, key=lambda candidate: (candidate.sum, candidate.lowest)),
        by_lowest=max(eligible, key=lambda candidate: (candidate.lowest, candidate.sum)),
    )


def find_checkpoints(folder: Path) -> dict[int, Path]:
    """verl's checkpoints in `folder`, by step."""
    found = {}
    for path in folder.glob(f"{CHECKPOINT}*"):
        step = path.name.removeprefix(CHECKPOINT)
        if step.isdigit() and path.is_dir():
            found[int(step)] = path
    return found


def link_checkpoint(target: Path, name: str) -> Path:
    """Creates a symbolic link `name` beside `target`; replaces an earlier one."""
    path = target.with_name(name)
    if path.is_symlink():
        path.unlink()
    path.symlink_to(target.name, target_is_directory=True)
    return path


def _candidates(curves: dict[str, Curve]) -> list[Candidate]:
    by_name = validated(curves)
    scores = [dict(curve) for curve in by_name.pop(SCORE, {}).values()]
    several = len({source for sources in by_name.values() for source in sources}) > 1
    rewards = {
        f"{source}/{name}" if several else name: dict(curve)
        for name, sources in by_name.items()
        for source, curve in sources.items()
    }
    rewards = rewards or {name: dict(curve) for name, curve in trained(curves).items()}
    ranges = {name: (min(points.values()), max(points.values())) for name, points in rewards.items()}
    steps = sorted(set.intersection(*(set(points) for points in rewards.values()))) if rewards else []
    candidates = []
    for step in steps:
        at_step = {name: points[step] for name, points in rewards.items()}
        scaled = {name: _scaled(value, *ranges[name]) for name, value in at_step.items()}
        name = min(scaled, key=scaled.__getitem__)
        logged = [points[step] for points in scores if step in points]
        candidates.append(
            Candidate(
                step=step,
                rewards=at_step,
                sum=statistics.fmean(logged) if logged else sum(at_step.values()),
                lowest=scaled[name],
                lowest_name=name,
            )
        )
    return candidates


def _scaled(value: float, low: float, high: float) -> float:
    return 1.0 if high == low else (value - low) / (high - low)  # a constant reward never is the lowest

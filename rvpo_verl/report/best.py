"""Which step of a run to keep: the best by the sum of its rewards, and the best by its lowest reward.

The sum is what verl validates, and what a neglected reward hides in. For the lowest, each reward is brought to
its own range over the run, 0 where it was worst and 1 where it was best, and a step counts by the lowest of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rvpo_verl.report.logs import SCORE, Curve, read_curves, trained, validated

CHECKPOINT = "global_step_"


@dataclass(frozen=True)
class Candidate:
    step: int
    rewards: Mapping[str, float]
    sum: float
    """verl's scalar score, which weighs the rewards; their plain sum where it was not logged."""
    lowest: float
    """The lowest reward, each on its own range over the run."""
    lowest_name: str


@dataclass(frozen=True)
class Best:
    by_sum: Candidate
    by_lowest: Candidate
    candidates: int


def best_step(logs: Sequence[Path], steps: Collection[int] | None = None) -> Best:
    """
    Args:
        logs: of one run; where it was resumed, in the order of its starts.
        steps: the only ones to choose from, such as those with a checkpoint; all if None.

    Raises:
        ValueError: nothing to choose from.
    """
    curves: dict[str, dict[int, float]] = {}
    for log in logs:
        for name, curve in read_curves(log).items():
            curves.setdefault(name, {}).update(curve)
    candidates = _candidates({name: sorted(points.items()) for name, points in curves.items()})
    if not candidates:
        raise ValueError(
            f"{', '.join(map(str, logs))}: no step has any reward; expected val-aux/SOURCE/NAME/mean@N, which verl "
            "logs every trainer.test_freq steps, or rvpo/NAME/mean"
        )
    open_to_choice = [candidate for candidate in candidates if steps is None or candidate.step in steps]
    if not open_to_choice:
        raise ValueError(
            f"no step has both rewards and a checkpoint: rewards at {[c.step for c in candidates]}, checkpoints at "
            f"{sorted(steps or ())}. Choose trainer.test_freq and trainer.save_freq so that they meet"
        )
    return Best(
        by_sum=max(open_to_choice, key=lambda candidate: (candidate.sum, candidate.lowest)),
        by_lowest=max(open_to_choice, key=lambda candidate: (candidate.lowest, candidate.sum)),
        candidates=len(open_to_choice),
    )


def checkpoints(folder: Path) -> dict[int, Path]:
    """verl's checkpoints in `folder`, by step."""
    found = {}
    for path in folder.glob(f"{CHECKPOINT}*"):
        step = path.name.removeprefix(CHECKPOINT)
        if step.isdigit() and path.is_dir():
            found[int(step)] = path
    return found


def link(target: Path, name: str) -> Path:
    """A symbolic link `name` beside `target`, in the place of an earlier one."""
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
        total = _mean(points[step] for points in scores if step in points)
        candidates.append(
            Candidate(
                step=step,
                rewards=at_step,
                sum=sum(at_step.values()) if total is None else total,
                lowest=scaled[name],
                lowest_name=name,
            )
        )
    return candidates


def _scaled(value: float, low: float, high: float) -> float:
    return 1.0 if high == low else (value - low) / (high - low)  # one that never moved decides nothing


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None

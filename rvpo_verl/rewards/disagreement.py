"""How far repeated measurements of a reward differ: votes of a judge that are not unanimous."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from rvpo_verl.rewards.vector import RewardVector, family


def disagreements(vectors: Sequence[RewardVector]) -> dict[str, float]:
    """Average disagreement by family, for the families that have any."""
    found: dict[str, list[float]] = defaultdict(list)
    for vector in vectors:
        for name, disagreement in vector.disagreements.items():
            found[family(name)].append(disagreement)
    return {name: fmean(values) for name, values in found.items()}

"""Reward vectors as one matrix, whatever the rewards of each prompt are called.

B responses, G groups, M rewards of the group that has most. A column belongs to one reward *within a group*:
two prompts with ten different criteria each share ten columns, not twenty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from rvpo_verl.rewards.vector import RewardVector, family


@dataclass(frozen=True)
class RewardMatrix:
    rewards_BM: np.ndarray
    """float64, NaN where missing."""
    weights_BM: np.ndarray
    """float64, 0 where the group has no such reward."""
    family_BM: np.ndarray
    """Index into `families`, -1 where the group has no such reward."""
    families: list[str]
    """Names to report under."""

    @classmethod
    def from_vectors(cls, vectors: Sequence[RewardVector], group_B: np.ndarray) -> "RewardMatrix":
        """
        Args:
            vectors: the scores of each response.
            group_B: group of each response, integers from 0.
        """
        groups = group_B.tolist()
        names_G: list[dict[str, object]] = [{} for _ in range(max(groups, default=-1) + 1)]
        for group, vector in zip(groups, vectors, strict=True):
            names_G[group].update(vector.scores)  # for the names, in the order in which they came up

        width_G = np.array([len(names) for names in names_G], dtype=int)
        exists_GM = np.arange(width_G.max(initial=0)) < width_G[:, None]
        exists_BM = exists_GM[group_B]

        # Python meets each score once; a loop that fills the matrix cell by cell costs ten times as much.
        scores: list[float | None] = []
        weights: list[float] = []
        for group, vector in zip(groups, vectors, strict=True):
            scores += map(vector.scores.get, names_G[group])
            weights += map(vector.weights.get, names_G[group], repeat(1.0))
        rewards_BM, weights_BM = np.full(exists_BM.shape, np.nan), np.zeros(exists_BM.shape)
        rewards_BM[exists_BM] = np.array(scores, dtype=float)  # None becomes NaN
        weights_BM[exists_BM] = weights

        families: dict[str, int] = {}
        family_GM = np.full(exists_GM.shape, -1)
        family_GM[exists_GM] = [
            families.setdefault(family(name), len(families)) for names in names_G for name in names
        ]
        return cls(rewards_BM, weights_BM, family_GM[group_B], list(families))

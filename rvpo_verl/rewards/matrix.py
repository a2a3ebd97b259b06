"""Reward vectors as one matrix, whatever the rewards of each prompt are called.

B responses, M rewards of the prompt that has most. A column belongs to one reward *within a group*:
two prompts with ten different criteria each share ten columns, not twenty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
        columns: dict[int, dict[str, int]] = {}
        for group, vector in zip(group_B.tolist(), vectors, strict=True):
            column = columns.setdefault(group, {})
            for name in vector.scores:
                column.setdefault(name, len(column))

        shape = len(vectors), max((len(column) for column in columns.values()), default=0)
        rewards_BM, weights_BM = np.full(shape, np.nan), np.zeros(shape)
        family_BM, families = np.full(shape, -1), {}
        for row, (group, vector) in enumerate(zip(group_B.tolist(), vectors, strict=True)):
            for name, column in columns[group].items():
                score = vector.scores.get(name)
                if score is not None:
                    rewards_BM[row, column] = score
                weights_BM[row, column] = vector.weights.get(name, 1.0)
                family_BM[row, column] = families.setdefault(family(name), len(families))
        return cls(rewards_BM, weights_BM, family_BM, list(families))

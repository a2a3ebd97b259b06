"""The rewards of a batch as one matrix, built from reward vectors or from columns.

A column of the matrix is one reward *within a group*: two prompts with ten different criteria each share ten
columns. A *family* is the name that a reward is logged under.

Shapes: B responses, G groups, M rewards of the group that has most.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, count, repeat
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rvpo_verl.errors import UserError
from rvpo_verl.names import family


class NamedScores(Protocol):
    """The scores of one response. `rewards.vector.RewardVector` is one."""

    @property
    def scores(self) -> Mapping[str, float | None]:
        """Score by name, None where missing."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight by name; 1 where none is given."""


@dataclass(frozen=True, init=False)
class RewardBatch:
    """Everything that `compute` needs of a batch, on one device."""

    rewards_BM: Tensor
    """Raw rewards, NaN where missing."""
    group_B: Tensor
    """Group of each response, integers from 0."""
    length_B: Tensor
    """Tokens of each response that are trained. A response without any takes part in nothing."""
    weights_BM: Tensor | None
    """Weight of each reward, at least 0; equal if None. Renormalized over what is present."""
    valid_B: Tensor
    """False for rows that take part in nothing: those given as such, as padding is, and those without tokens."""
    family_BM: Tensor
    """Index into `families` of each reward, -1 where the group has no such reward; the column's own by default."""
    families: tuple[str, ...]
    """Names to log under; `0`, `1`, ... by column if none are given."""

    def __init__(
        self,
        rewards_BM: Tensor,
        group_B: Tensor,
        length_B: Tensor,
        weights_BM: Tensor | None = None,
        valid_B: Tensor | None = None,
        family_BM: Tensor | None = None,
        families: tuple[str, ...] = (),
    ):
        """
        Raises:
            ValueError: shapes that do not fit.
        """
        if rewards_BM.dim() != 2:
            raise ValueError(f"rewards_BM has shape {tuple(rewards_BM.shape)}, expected (responses, rewards)")
        B, M = rewards_BM.shape
        for name, given, shape in (
            ("group_B", group_B, (B,)), ("length_B", length_B, (B,)), ("valid_B", valid_B, (B,)),
            ("weights_BM", weights_BM, (B, M)), ("family_BM", family_BM, (B, M)),
        ):  # fmt: skip
            if given is not None and given.shape != shape:
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)}, expected {shape} as rewards_BM {(B, M)}"
                )
        trained_B = length_B > 0
        valid_B = trained_B if valid_B is None else trained_B & valid_B.bool()
        if family_BM is None:
            family_BM = torch.arange(M, device=rewards_BM.device).expand(B, M)
            families = families or tuple(map(str, range(M)))
        values = (rewards_BM, group_B, length_B, weights_BM, valid_B, family_BM, families)
        for field, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)  # frozen afterwards

    @classmethod
    def from_vectors(
        cls,
        vectors: Sequence[NamedScores],
        groups: Sequence[Hashable] | np.ndarray,
        length_B: Tensor,
        *,
        valid_B: Tensor | None = None,
    ) -> "RewardBatch":
        """The batch of responses whose rewards have names that may differ from group to group.

        Args:
            vectors: the scores of each response.
            groups: (B,) group of each response, any hashable values.
            length_B: tokens of each response that are trained; its device is the batch's.
            valid_B: False for rows that take part in nothing; by default all do.

        Raises:
            ValueError: not as many groups as vectors, or shapes that do not fit.
        """
        numbers = _numbered(groups)
        names_G: list[tuple[str, ...]] = []
        mixed: set[int] = set()  # groups whose responses differ in their names or in the order of these
        for group, vector in zip(numbers, vectors, strict=True):
            names = tuple(vector.scores)
            if group == len(names_G):  # groups are numbered as they appear
                names_G.append(names)
            elif names != names_G[group]:
                mixed.add(group)
                names_G[group] = tuple(dict.fromkeys(names_G[group] + names))

        width_G = np.array([len(names) for names in names_G], dtype=int)
        exists_GM = np.arange(width_G.max(initial=0)) < width_G[:, None]
        group_B = np.array(numbers, dtype=int)
        exists_BM = exists_GM[group_B]

        # Python meets each response once, and each score only in groups that are mixed.
        scores: list[float | None] = []
        for group, vector in zip(numbers, vectors, strict=True):
            scores += map(vector.scores.get, names_G[group]) if group in mixed else vector.scores.values()
        rewards_BM, weights_BM = np.full(exists_BM.shape, np.nan), exists_BM.astype(float)
        rewards_BM[exists_BM] = np.array(scores, dtype=float)  # None becomes NaN
        if any(vector.weights for vector in vectors):
            weights: list[float] = []
            for group, vector in zip(numbers, vectors, strict=True):
                weights += map(vector.weights.get, names_G[group], repeat(1.0))
            weights_BM[exists_BM] = weights

        families: defaultdict[str, int] = defaultdict(count().__next__)
        families_of = {names: [families[family(name)] for name in names] for names in dict.fromkeys(names_G)}
        family_GM = np.full(exists_GM.shape, -1)
        family_GM[exists_GM] = list(chain.from_iterable(map(families_of.__getitem__, names_G)))
        return cls(
            rewards_BM=torch.from_numpy(rewards_BM),
            group_B=torch.from_numpy(group_B),
            length_B=length_B.cpu(),
            weights_BM=torch.from_numpy(weights_BM),
            valid_B=None if valid_B is None else valid_B.cpu(),
            family_BM=torch.from_numpy(family_GM[group_B]),
            families=tuple(families),
        ).to(length_B.device)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Any],
        groups: Sequence[Hashable] | np.ndarray,
        length_B: Tensor,
        *,
        weights: Mapping[str, float] | None = None,
        valid_B: Tensor | None = None,
    ) -> "RewardBatch":
        """The batch of responses that all have the same rewards.

        Args:
            columns: (B,) numbers by reward, None or NaN where missing. Each is a family of its own.
            groups: (B,) group of each response, any hashable values.
            length_B: tokens of each response that are trained; its device is the batch's.
            weights: by reward, at least 0; 1 where none is given.
            valid_B: False for rows that take part in nothing; by default all do.

        Raises:
            UserError: a column holds something else than numbers.
            ValueError: shapes that do not fit.
        """
        group_B = torch.tensor(_numbered(groups))
        rewards = np.empty((len(group_B), len(columns)))
        for position, (name, column) in enumerate(columns.items()):
            rewards[:, position] = _numbers(name, column)
        weights_M = torch.tensor([(weights or {}).get(name, 1.0) for name in columns], dtype=torch.float64)
        rewards_BM = torch.from_numpy(rewards)
        return cls(
            rewards_BM=rewards_BM,
            group_B=group_B,
            length_B=length_B.cpu(),
            weights_BM=weights_M.expand(rewards_BM.shape),
            valid_B=None if valid_B is None else valid_B.cpu(),
            families=tuple(columns),
        ).to(length_B.device)

    def to(self, device: torch.device) -> "RewardBatch":
        """The same batch on another device."""
        return RewardBatch(
            rewards_BM=self.rewards_BM.to(device),
            group_B=self.group_B.to(device),
            length_B=self.length_B.to(device),
            weights_BM=None if self.weights_BM is None else self.weights_BM.to(device),
            valid_B=self.valid_B.to(device),
            family_BM=self.family_BM.to(device),
            families=self.families,
        )


def _numbered(groups: Sequence[Hashable] | np.ndarray) -> list[int]:
    """Group of each response as an integer from 0, in the order in which they appear."""
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    return [number[group] for group in groups]


def _numbers(name: str, column: Any) -> np.ndarray:
    try:
        values_B = np.asarray(column, dtype=float)  # None becomes NaN
    except (TypeError, ValueError):
        for row, value in enumerate(column):
            try:
                float(np.nan if value is None else value)
            except (TypeError, ValueError):
                raise UserError(
                    f"reward key {name!r} holds {value!r} of type {type(value).__name__} in row {row}; expected a "
                    "number, or None where the reward does not apply"
                ) from None
        raise
    return np.where(np.isfinite(values_B), values_B, np.nan)

"""From a batch of verl to advantages and metrics: one way for trainer V0, trainer V1 and a patched verl.

Shapes: B rows of the batch, M rewards, T tokens.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rvpo_verl.attach.verl_config import NAME, advantage_config, reward_keys, rewards_config, settings
from rvpo_verl.core import RewardBatch, compute
from rvpo_verl.core.advantage import as_float, scale
from rvpo_verl.core.monitor import Monitor
from rvpo_verl.errors import ConfigError, UserError
from rvpo_verl.rewards.cost import TokenBudget, cost_metrics
from rvpo_verl.rewards.failures import scoring_metrics
from rvpo_verl.rewards.uneven import uneven_failures
from rvpo_verl.rewards.vector import KEY, RewardVector

logger = logging.getLogger("rvpo_verl")


@dataclass(frozen=True)
class Rows:
    """What a trainer knows about its batch beyond what verl passes to an estimator."""

    columns: Mapping[str, Sequence[Any] | np.ndarray]
    """(B,) values of `reward_extra_info` by key; others are ignored."""
    step: int | None = None
    """Global step, from 1; None outside of a trainer."""
    total_steps: int | None = None
    """Steps of the whole run; None outside of a trainer."""
    is_padding_B: np.ndarray | None = None
    """Rows that only fill the batch up; they repeat a real row's rewards."""
    owner_B: np.ndarray | None = None
    """Row whose rewards stand for each row: itself, or the last output of its agent session."""

    @cached_property
    def vectors(self) -> list[RewardVector] | None:
        """What the `rvpo` reward manager reported, if it scored every row."""
        texts = self.columns.get(KEY)
        # As a list: elements of an array of strings are no plain `str`, which is what can be decoded.
        texts = None if texts is None else np.asarray(texts, dtype=object).tolist()
        if texts is None or None in texts:
            return None
        return [RewardVector.loads(text) for text in texts]


class Adapter:
    """The configuration of one trainer, parsed once, and the monitor of its training."""

    def __init__(self, algorithm: Any, trainer_config: Any = None):
        """
        Args:
            algorithm: verl's `config.algorithm`, a mapping or None.
            trainer_config: the whole configuration; None where no trainer calls.

        Raises:
            ConfigError: the configuration is not valid.
        """
        self.estimates = trainer_config is None or trainer_config.algorithm.adv_estimator == NAME
        """Whether the estimator is `rvpo`; otherwise only the scoring is reported."""
        config = advantage_config(algorithm)
        self._reward_keys = reward_keys(config, algorithm)
        self._rewards = None if trainer_config is None else rewards_config(trainer_config)
        self.settings = settings(config, self._rewards)
        self._budget = TokenBudget(None if self._rewards is None else self._rewards.max_tokens_total)
        self._planned_steps: int | None = None
        """Of the run, if it ends earlier because of the budget: schedules go on as they were."""
        self._warned: set[str] = set()
        self._monitor = Monitor()

    @classmethod
    def of(cls, config: Any) -> "Adapter":
        """The adapter of a trainer's configuration: one for each configuration object of this process."""
        known = _ADAPTERS.get(id(config))
        if known is None or known[0] is not config:
            known = _ADAPTERS[id(config)] = config, cls(config.algorithm, config)
        return known[1]

    @property
    def active(self) -> bool:
        return self.estimates or self._rewards is not None

    @property
    def keys(self) -> list[str]:
        """Keys of `reward_extra_info` that may hold rewards."""
        return [KEY, *self._reward_keys]

    def scoring_metrics(self, rows: Rows, trainer: Any = None) -> dict[str, float]:
        """What the `rvpo` reward manager reports about a batch, beside the scores; nothing for other managers.

        Args:
            trainer: ends after its next step when `max_tokens_total` comes near.

        Raises:
            RewardFailureError: too much of a reward failed.
        """
        vectors = rows.vectors
        if vectors is None or self._rewards is None:
            return {}
        if rows.is_padding_B is not None:
            vectors = [row for row, padding in zip(vectors, rows.is_padding_B, strict=True) if not padding]
        costs = cost_metrics(vectors)
        spent = self._budget.spend(costs)
        if spent is not None:
            self._planned_steps = rows.total_steps
            end_after_next_step(trainer, spent)
        return scoring_metrics(vectors, self._rewards) | costs

    def advantages(
        self, rows: Rows, response_mask: Tensor, index: np.ndarray | None, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        """Advantages of a batch, and what to log about it.

        Args:
            response_mask: (B, T) 1 on the tokens that are trained.
            index: (B,) group of each row, any hashable values (verl's `uid`).
            device: where the advantages are wanted.

        Returns:
            (B, T) float32 advantages, and metrics by name.

        Raises:
            ConfigError: no groups were given, or the rows do not fit.
        """
        if index is None:
            raise ConfigError('the rvpo estimator needs groups: set data.non_tensor_batch["uid"]')
        B = response_mask.shape[0]
        mask_BT = as_float(response_mask, device)
        length_B = mask_BT.sum(dim=1).double()
        valid_B = torch.ones(B, dtype=torch.bool, device=device)
        if rows.is_padding_B is not None:
            valid_B &= ~torch.as_tensor(rows.is_padding_B, device=device)
        owner_B = None
        if rows.owner_B is not None:
            owner_B = torch.as_tensor(rows.owner_B, device=device)
            valid_B &= owner_B == torch.arange(B, device=device)
            # A session's tokens are all trained with the advantage of its last output, so they all weigh there.
            length_B = torch.zeros_like(length_B).index_add_(0, owner_B, length_B)
        batch = self._batch(rows, np.asarray(index).tolist(), length_B, valid_B)
        result = compute(batch, self.settings, rows.step, self._planned_steps or rows.total_steps)
        advantages_B = result.advantages_B if owner_B is None else result.advantages_B[owner_B]
        flags, lines = self._monitor.observe(result.metrics)
        uneven, more = uneven_failures(rows.vectors or [], np.asarray(index).tolist())
        for line in [*lines, *(line for reward, line in more.items() if reward not in self._warned)]:
            logger.warning(line)
        self._warned |= more.keys()
        return scale(mask_BT, advantages_B), result.metrics | flags | uneven

    def _batch(self, rows: Rows, groups: list[Any], length_B: Tensor, valid_B: Tensor) -> RewardBatch:
        vectors = rows.vectors
        columns = self._columns(rows) if vectors is None else {KEY: vectors}
        for name, column in columns.items():
            if not len(column) == len(groups) == len(length_B):
                raise ConfigError(
                    f"the batch has {len(length_B)} rows, but {len(groups)} group ids and {len(column)} values "
                    f"of {name}"
                )
        if vectors is not None:
            return RewardBatch.from_vectors(vectors, groups, length_B, valid_B=valid_B)
        return RewardBatch.from_columns(columns, groups, length_B, weights=self._reward_keys, valid_B=valid_B)

    def _columns(self, rows: Rows) -> dict[str, Sequence[Any] | np.ndarray]:
        found = [key for key, column in rows.columns.items() if any(value is not None for value in column)]
        absent = [key for key in self._reward_keys if key not in found]
        if self._rewards is not None:
            texts = rows.columns.get(KEY, ())
            scored = sum(text is not None for text in texts)
            raise ConfigError(
                f"only {scored} responses of the batch have rewards of the rvpo manager. verl does not ask it where an "
                "agent loop sets `reward_score` itself: leave that None, and hand the score over in `extra_fields`, "
                "which a reward reads in its extra_info"
            )
        if absent or not self._reward_keys:
            raise ConfigError(
                f"no reward vectors in the batch: looked for {list(self._reward_keys) or 'reward keys'} in "
                f"reward_extra_info, absent: {absent or [KEY]}, there: {sorted(found)}. Use "
                "reward.reward_manager.name=rvpo, or name in algorithm.rvpo.reward_keys what your scoring function "
                "returns beside its score"
            )
        return {key: rows.columns[key] for key in self._reward_keys}


def end_after_next_step(trainer: Any, why: str) -> None:
    """verl's trainers take a step for the last one, which validates and saves, when it begins.

    Raises:
        UserError: no trainer is known, as where verl is patched.
    """
    name = "total_training_steps"
    # The fully asynchronous trainer ends when its rollouter does.
    if getattr(trainer, name, None) is None or hasattr(trainer, "total_train_steps"):
        raise UserError(f"{why}, but this trainer cannot be ended that way")
    logger.warning(why)
    setattr(trainer, name, min(getattr(trainer, name), trainer.global_steps + 1))


_ADAPTERS: dict[int, tuple[Any, Adapter]] = {}

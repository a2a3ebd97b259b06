"""verl's reward manager `rvpo`: every reward of `reward.rvpo` for one response, and their weighted sum."""

import asyncio
import gc
from functools import cache
from typing import Any

from packaging.version import Version
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from rvpo_verl.attach.hooks import verl_version
from rvpo_verl.attach.sample import make_sample
from rvpo_verl.attach.verl_config import rewards_config, run_context, unknown_arguments
from rvpo_verl.config import final_weight
from rvpo_verl.errors import ConfigError
from rvpo_verl.names import reward_of
from rvpo_verl.rewards.call import Scorer
from rvpo_verl.rewards.vector import KEY

# verl's validation leaves None out of its averages from 0.9 on, and fails on it before.
FAILED = "rvpo_failed"

ABSENT = None if Version(verl_version()) >= Version("0.9") else float("nan")


class RvpoRewardManager(RewardManagerBase):
    """Scores a response by all rewards of `reward.rvpo.rewards`.

    `reward_score` is the weighted mean of the rewards that are there, times the weight of all that apply to the
    row: their weighted sum, in which a missing reward does not count as 0. A reward that returns a dict without
    declaring its outputs counts as the weighted mean of its values.
    `reward_extra_info` has the reward vector for the estimator under `KEY`; each reward, and under `FAILED` the
    number of those that failed, as numbers for verl's validation metrics; in the same keys and order for every
    response.
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ):
        """
        Args:
            compute_score: the scoring function that verl found; this manager has its own.
        """
        super().__init__(config, tokenizer, compute_score)
        rewards = rewards_config(config)
        if rewards is None:
            raise ConfigError(
                f"reward.reward_manager.name={config.reward.reward_manager.name}: the rvpo reward manager goes by "
                "the name rvpo, and is registered under it. Set reward.reward_manager.name=rvpo and leave "
                "reward.reward_manager.source at register"
            )
        self._weights = {name: final_weight(weight) for name, weight in rewards.weights().items()}
        self._scorer = Scorer(rewards, without=unknown_arguments(config))
        self._served = {
            "reward_router_address": reward_router_address,
            "reward_model_tokenizer": reward_model_tokenizer,
            "reward_workers": run_context(config).reward_workers,
        }
        _leave_out_of_collections()

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Scores one agent session; where it has several outputs, the last one, as verl's managers do."""
        sample = await asyncio.get_running_loop().run_in_executor(
            None, make_sample, data[-1], self.tokenizer, self._served
        )
        vector = await self._scorer.score(sample)
        shown = {name: vector.value(name) for name in self._weights}
        return {
            "reward_score": self._score(shown, self._scorer.applicable(sample)),
            "reward_extra_info": {
                KEY: vector.dumps(),
                **{name: ABSENT if value is None else value for name, value in shown.items()},
                FAILED: float(len({reward_of(name) for name in vector.failures})),
            },
        }

    def _score(self, shown: dict[str, float | None], applicable: set[str]) -> float:
        present = {name: value for name, value in shown.items() if value is not None}
        present_weight = sum(self._weights[name] for name in present)
        if present_weight == 0:
            return 0.0
        total = sum(self._weights[name] * value for name, value in present.items())
        return float(total * sum(self._weights[name] for name in applicable) / present_weight)


@cache
def _leave_out_of_collections() -> None:
    """Takes what is imported by now out of Python's full garbage collections.

    Each goes over all that verl imports, for a quarter of a second in which the event loop of a reward worker stands.
    """
    gc.collect()
    gc.freeze()

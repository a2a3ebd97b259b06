"""verl's reward manager `rvpo`: every reward of `reward.rvpo` for one response, and their weighted sum."""

import asyncio
from typing import Any

from packaging.version import Version
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from rvpo_verl.attach.hooks import verl_version
from rvpo_verl.attach.verl_config import rewards_config, run_context
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.vector import KEY, RewardVector

# verl's validation leaves None out of its averages from 0.9 on, and fails on it before.
ABSENT = None if Version(verl_version()) >= Version("0.9") else float("nan")


class RvpoRewardManager(RewardManagerBase):
    """Scores a response by all rewards of `reward.rvpo.rewards`.

    `reward_score` is the weighted sum of the rewards that are there. A reward that returns a dict without
    declaring its outputs counts as the weighted mean of those that are there: a sum would grow with their
    number, and would count a failed one as 0.
    `reward_extra_info` has the reward vector for the estimator under `KEY`, and each reward as a number for
    verl's validation metrics, in the same keys and order for every response.
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
        self._weights = rewards.weights()
        self._scorer = Scorer(rewards)
        self._served = {
            "reward_router_address": reward_router_address,
            "reward_model_tokenizer": reward_model_tokenizer,
            "reward_workers": run_context(config).reward_workers,
        }

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Scores one agent session; where it has several outputs, the last one, as verl's managers do."""
        vector = await self._scorer.score(await self._sample(data[-1]))
        shown = {name: _value(vector, name) for name in self._weights}
        present = {name: value for name, value in shown.items() if value is not None}
        return {
            "reward_score": float(sum(self._weights[name] * value for name, value in present.items())),
            "reward_extra_info": {
                KEY: vector.dumps(),
                **{name: ABSENT if value is None else value for name, value in shown.items()},
            },
        }

    async def _sample(self, item: Any) -> Sample:
        row = item.non_tensor_batch
        response_ids = item.batch["responses"]
        # Rows of a session are padded at the end, beyond their own response: only its length tells where.
        length = row.get("response_len")
        if length is None:
            length = item.batch["attention_mask"][-len(response_ids) :].sum()
        response_ids = response_ids[: int(length)].tolist()
        response = await asyncio.get_running_loop().run_in_executor(
            None, lambda: self.tokenizer.decode(response_ids, skip_special_tokens=True)
        )
        messages, data_source = row.get("raw_prompt"), row.get("data_source")
        return Sample(
            response=response,
            ground_truth=(row.get("reward_model") or {}).get("ground_truth"),
            messages=None if messages is None else list(messages),
            data_source=None if data_source is None else str(data_source),
            extra_info={
                **(row.get("extra_info") or {}),
                **(row.get("tool_extra_fields") or {}),
                "num_turns": row.get("__num_turns__"),
                "rollout_reward_scores": row.get("reward_scores", {}),
            },
            response_ids=response_ids,
            tokenizer=self.tokenizer,
            **self._served,
        )


def _value(vector: RewardVector, name: str) -> float | None:
    """The reward as one number, None where it is missing."""
    if name in vector.scores:
        return vector.scores[name]
    present = {key: score for key, score in vector.of(name).items() if score is not None}
    weight = sum(vector.weights[key] for key in present)
    if weight == 0:
        return None
    return sum(vector.weights[key] * score for key, score in present.items()) / weight

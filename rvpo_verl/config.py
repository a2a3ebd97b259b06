"""What a user may write under `algorithm.rvpo` and `reward.rvpo`."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from rvpo_verl.schema import Strict

RESERVED_NAMES = frozenset(
    {
        "reward", "uid", "index", "pred", "prompt", "raw_prompt", "data_source", "reward_model", "extra_info",
        "tool_extra_fields", "reward_scores", "multi_modal_inputs", "rvpo_rewards", "rvpo_vector", "rvpo_failed",
        "acc", "tool_rewards", "turn_scores", "extras", "min_global_steps", "max_global_steps", "num_turns",
    }
)  # fmt: skip
"""Names with a meaning of their own in the batch of verl that carries the scores."""


def _reward_name(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"{name!r} already has a meaning in verl's batch; choose another name")
    if not name or not all(character.isalnum() or character in "_-." for character in name):
        raise ValueError(f"{name!r} is not a reward name: use letters, digits, '_', '-' and '.'")
    return name


def _reward_key(name: str) -> str:
    """Of another manager's `reward_extra_info`: what verl itself puts into the batch is no reward."""
    if name in RESERVED_NAMES - {"acc"}:
        raise ValueError(f"{name!r} already has a meaning in verl's batch; choose another name")
    return name


RewardName = Annotated[str, AfterValidator(_reward_name)]
RewardKey = Annotated[str, AfterValidator(_reward_key)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _steps(over: Any) -> Any:
    if over == "run":
        return over
    if isinstance(over, bool) or not str(over).isdigit() or int(over) < 1:
        raise ValueError('expected a number of global steps, at least 1, or "run"')
    return int(over)


class ScheduleConfig(Strict):
    """The risk coefficient as a function of the trainer's global step (paper: linear, 0.5 to 2.0)."""

    schedule: Literal["constant", "linear", "cosine"]
    from_: Annotated[float, Field(ge=0)] = Field(alias="from")
    """k at the first step."""
    to: Annotated[float, Field(ge=0)] | None = None
    """k at the last step of the schedule; kept from there on."""
    over: Annotated[Any, BeforeValidator(_steps)] = "run"
    """Length in global steps, or "run" for all steps of the training."""

    @model_validator(mode="after")
    def _ends_fit(self) -> "ScheduleConfig":
        if self.schedule == "constant":
            if self.to is not None:
                raise ValueError("a constant schedule has no `to`; write k as a number")
        elif self.to is None:
            raise ValueError(f"a {self.schedule} schedule needs `to`, the k at its end")
        elif not (math.isfinite(self.from_) and math.isfinite(self.to)):
            raise ValueError("only a constant k may be infinite; `from` and `to` must be finite")
        return self


RiskCoefficient = Annotated[
    Annotated[float, Field(ge=0), Tag("number")] | Annotated[ScheduleConfig, Tag("schedule")],
    Discriminator(lambda k: "schedule" if isinstance(k, Mapping | ScheduleConfig) else "number"),
]


class AdvantageConfig(Strict):
    """`algorithm.rvpo`: how several rewards of one response become one advantage; see `core.Settings`."""

    aggregation: str = "softmin"
    """softmin (RVPO), mean (GDPO), min (k = inf), variance (explicit penalty), another entry point of group
    `rvpo_verl.aggregations`, or `package.module:function`."""
    k: RiskCoefficient = 2.0
    """A number, or a schedule."""
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """softmin behaves like `variance` with beta = k/2 near equal rewards."""
    eps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-6
    constant_rewards: Literal["keep", "drop"] = "keep"
    bonus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    center_groups: bool = True
    whitening: Literal["token", "response", "none"] = "token"
    dump_freq: Annotated[int, Field(ge=1)] = 1
    """Rollouts go to verl's `trainer.rollout_data_dir` in every so many steps."""
    dump_groups: Annotated[int, Field(ge=1)] | None = None
    """Of so many groups of the batch, drawn at random; all if None."""
    reward_keys: list[RewardKey] | None = None
    """Keys of verl's `reward_extra_info` that hold the rewards, with any manager but `rvpo`."""
    reward_weights: dict[str, Weight] | None = None
    """Weight of each of `reward_keys`; 1 where none is given."""

    @model_validator(mode="after")
    def _keys_and_weights_agree(self) -> "AdvantageConfig":
        if self.reward_keys is not None:
            if not self.reward_keys:
                raise ValueError("reward_keys is empty; name at least one key or leave it out")
            _refuse_duplicates("reward_keys", self.reward_keys)
        if self.reward_weights is not None:
            if self.reward_keys is None:
                raise ValueError(
                    "reward_weights goes with reward_keys; the rvpo manager takes its weights from "
                    "reward.rvpo.rewards.NAME.weight"
                )
            absent = sorted(set(self.reward_weights) - set(self.reward_keys))
            if absent:
                raise ValueError(f"reward_weights names {absent}, not among reward_keys {self.reward_keys}")
            _refuse_all_zero([self.reward_weights.get(key, 1.0) for key in self.reward_keys])
        return self


class RewardSpec(Strict):
    """`reward.rvpo.rewards.NAME`: one reward function and how it is called."""

    function: str | None = None
    """Entry point name, `package.module:function` or `path/to/file.py:function`; NAME if left out."""
    weight: Weight = 1.0
    """Share in the aggregate and factor in verl's scalar score; 0 only monitors."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 60.0
    """Seconds until the reward counts as failed; null waits without a limit."""
    executor: Literal["thread", "process"] = "thread"
    """Where a synchronous function runs. `process`: for one that computes, or needs the main thread of a process (as
    `signal.alarm` does); its timeout ends the work."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Passed to the function as keyword arguments."""
    data_sources: list[str] | None = None
    """Rows this reward applies to, by `data_source`; all rows if left out."""
    outputs: dict[RewardName, Weight] | None = None
    """For a function that returns a dict: the names it returns and their weights."""

    @model_validator(mode="after")
    def _outputs_carry_the_weights(self) -> "RewardSpec":
        if self.outputs is not None:
            if not self.outputs:
                raise ValueError("outputs is empty; name what the function returns or leave it out")
            if "weight" in self.model_fields_set:
                raise ValueError("with outputs each output has its own weight; leave `weight` out")
        return self


class RewardsConfig(Strict):
    """`reward.rvpo`: the rewards that the `rvpo` manager computes for each response."""

    rewards: dict[RewardName, RewardSpec]
    """Reward specifications by name."""
    max_failure_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Training stops when a larger share of one reward's calls failed in a batch."""

    @model_validator(mode="before")
    @classmethod
    def _bare_names(cls, data: Any) -> Any:
        """`{tool_call_format: null}` is the reward with every option at its default."""
        if isinstance(data, Mapping) and isinstance(data.get("rewards"), Mapping):
            rewards = {name: {} if spec is None else spec for name, spec in data["rewards"].items()}
            data = {**data, "rewards": rewards}
        return data

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "RewardsConfig":
        if not self.rewards:
            raise ValueError("rewards is empty; name at least one reward")
        _refuse_duplicates("rewards and their outputs", self.names())
        _refuse_all_zero(list(self.weights().values()))
        return self

    def weights(self) -> dict[str, float]:
        """Weight by the name under which a score is reported."""
        return {
            name: weight
            for reward, spec in self.rewards.items()
            for name, weight in (spec.outputs or {reward: spec.weight}).items()
        }

    def names(self) -> list[str]:
        """Names under which scores are reported, in the order of the configuration."""
        return [name for reward, spec in self.rewards.items() for name in spec.outputs or [reward]]


def _refuse_duplicates(what: str, names: list[str]) -> None:
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ValueError(f"duplicate reward names {duplicates} in {what}: {names}; each name once")


def _refuse_all_zero(weights: list[float]) -> None:
    if not any(weights):
        raise ValueError("every reward has weight 0, so nothing would be trained; give one a weight above 0")

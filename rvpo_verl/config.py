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

from rvpo_verl.schema import BRANCHES, Strict

__all__ = ["AdvantageConfig", "RewardSpec", "RewardsConfig", "ScheduleConfig"]

RESERVED_NAMES = frozenset(
    {
        "reward", "acc", "pred", "uid", "prompt", "data_source", "reward_model", "extra_info", "tool_extra_fields",
        "reward_scores",
    }
)  # fmt: skip
"""Names with a meaning of their own in verl's validation metrics and in its rows. More are found in the installed verl
(`attach.reserved`)."""


def _is_reserved(name: str) -> bool:
    return name in RESERVED_NAMES or name.startswith("rvpo_")


def _reward_name(name: str) -> str:
    if _is_reserved(name):
        raise ValueError(f"{name!r} already has a meaning in verl's batch; choose another name")
    if not name or not all(character.isalnum() or character in "_-." for character in name):
        raise ValueError(f"{name!r} is not a reward name: use letters, digits, '_', '-' and '.'")
    return name


def _reward_key(name: str) -> str:
    """Of another manager's `reward_extra_info`: what verl itself puts into the batch is no reward."""
    if _is_reserved(name) and name != "acc":
        raise ValueError(f"{name!r} already has a meaning in verl's batch; choose another name")
    return name


RewardName = Annotated[str, AfterValidator(_reward_name)]
RewardKey = Annotated[str, AfterValidator(_reward_key)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _steps(over: Any) -> Any:
    if over == "run":
        return over
    if isinstance(over, bool) or not str(over).isdigit() or int(over) < 1:
        raise ValueError('expected a number of global steps, at least 1, or "run"')
    return int(over)


class ScheduleConfig(Strict):
    """A number as a function of the trainer's global step (paper: k is linear, 0.5 to 2.0)."""

    schedule: Literal["constant", "linear", "cosine"]
    """`constant` keeps `from`."""
    from_: Annotated[float, Field(ge=0)] = Field(alias="from")
    """Written `from`: its value at the first step."""
    to: Annotated[float, Field(ge=0)] | None = None
    """Its value at the last step of the schedule; kept from there on."""
    over: Annotated[Any, BeforeValidator(_steps)] = "run"
    """Length in global steps, at least 1, or "run" for all steps of the training."""

    @model_validator(mode="after")
    def _ends_fit(self) -> "ScheduleConfig":
        if self.schedule == "constant":
            if self.to is not None:
                raise ValueError("a constant schedule has no `to`; write the number itself")
        elif self.to is None:
            raise ValueError(f"a {self.schedule} schedule needs `to`, the value at its end")
        elif not (math.isfinite(self.from_) and math.isfinite(self.to)):
            raise ValueError("only a constant k may be infinite; `from` and `to` must be finite")
        return self

    @property
    def end(self) -> float:
        """Its value from the last step on."""
        return self.from_ if self.to is None else self.to


_by_kind = Discriminator(lambda value: BRANCHES[isinstance(value, Mapping | ScheduleConfig)])
_Scheduled = Annotated[ScheduleConfig, Tag(BRANCHES[True])]


def _finite(weight: float | ScheduleConfig) -> float | ScheduleConfig:
    if isinstance(weight, ScheduleConfig) and not math.isfinite(weight.from_):
        raise ValueError("a weight must be finite")
    return weight


RiskCoefficient = Annotated[Annotated[float, Field(ge=0), Tag(BRANCHES[False])] | _Scheduled, _by_kind]
Weight = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False), Tag(BRANCHES[False])] | _Scheduled,
    _by_kind,
    AfterValidator(_finite),
]
"""A number, or a schedule, which needs the estimator `rvpo`."""


def base_weight(weight: float | ScheduleConfig) -> float:
    """What the estimator multiplies by the schedule of a weight, if it has one: 1 then, else the weight."""
    return 1.0 if isinstance(weight, ScheduleConfig) else weight


def final_weight(weight: float | ScheduleConfig) -> float:
    """What a weight is at the end of its schedule, if it has one."""
    return weight.end if isinstance(weight, ScheduleConfig) else weight


class AdvantageConfig(Strict):
    """`algorithm.rvpo`: how several rewards of one response become one advantage; see `core.Settings`."""

    aggregation: str = "softmin"
    """softmin (RVPO), mean (GDPO), min (k = inf), variance (explicit penalty), another entry point of group
    `rvpo_verl.aggregations`, or `package.module:function`."""
    k: RiskCoefficient = 2.0
    """Risk coefficient of softmin, at least 0: a number or a schedule. 0 is the mean, inf the minimum."""
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Penalty of `variance`, at least 0. softmin behaves like `variance` with beta = k/2 near equal rewards."""
    eps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-6
    """Added to a group's standard deviation."""
    constant_rewards: Literal["keep", "drop"] = "keep"
    """Whether a reward that is the same for a whole group, so that its Z is 0, is part of the aggregate."""
    bonus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Factor, at least 0, of the credit for a rare success of a response that loses nothing for it."""
    center_groups: bool = True
    """Subtract each group's mean after the aggregation; false is the published form."""
    whitening: Literal["token", "response", "none"] = "token"
    """Of the advantages over the batch, whose statistics count each token, as in verl and GDPO, or each response."""
    dump_freq: Annotated[int, Field(ge=1)] = 1
    """Rollouts go to verl's `trainer.rollout_data_dir` in every so many global steps."""
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
    """Share in the aggregate and factor in verl's scalar score; 0 only monitors. A schedule changes the share alone:
    the score has the weight at its end, so that the scores of two steps can be compared."""
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
    only_if: Annotated[dict[str, Finite], Field(min_length=1)] | None = None
    """It counts where each of these other rewards is at least as high as given, and is worth `otherwise` elsewhere.
    Where one of them is missing, it is missing too."""
    otherwise: Finite = 0.0
    """Its worth where `only_if` does not hold: its lowest value. A lower one where `only_if` holds is a failure."""

    @model_validator(mode="after")
    def _outputs_carry_the_weights(self) -> "RewardSpec":
        if self.outputs is not None:
            if not self.outputs:
                raise ValueError("outputs is empty; name what the function returns or leave it out")
            if "weight" in self.model_fields_set:
                raise ValueError("with outputs each output has its own weight; leave `weight` out")
        if self.only_if is None and "otherwise" in self.model_fields_set:
            raise ValueError("`otherwise` goes with `only_if`, which is not given")
        return self

    def weights(self, name: str) -> dict[str, float | ScheduleConfig]:
        """Weight by the name under which a score of the reward called `name` is reported."""
        return self.outputs or {name: self.weight}


class RewardsConfig(Strict):
    """`reward.rvpo`: the rewards that the `rvpo` manager computes for each response."""

    rewards: dict[RewardName, RewardSpec]
    """Reward specifications by name."""
    max_failure_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Training stops when a larger share of one reward's calls failed in a batch."""
    max_tokens_total: Annotated[int, Field(ge=1)] | None = None
    """That judges may read and write for the batches that are trained, since the command started. Before it is
    exceeded, the training ends as after its last step, with a checkpoint."""

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
        for name, spec in self.rewards.items():
            others = [other for other in self.names() if other not in spec.weights(name)]
            unknown = sorted(set(spec.only_if or ()) - set(others))
            if unknown:
                raise ValueError(f"{name}.only_if names {unknown}; accepted: the other rewards {others}")
        return self

    def weights(self) -> dict[str, float | ScheduleConfig]:
        """Weight by the name under which a score is reported."""
        return {
            name: weight
            for reward, spec in self.rewards.items()
            for name, weight in spec.weights(reward).items()
        }

    def names(self) -> list[str]:
        """Names under which scores are reported, in the order of the configuration."""
        return [name for reward, spec in self.rewards.items() for name in spec.weights(reward)]


def _refuse_duplicates(what: str, names: list[str]) -> None:
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ValueError(f"duplicate reward names {duplicates} in {what}: {names}; each name once")


def _refuse_all_zero(weights: list[float | ScheduleConfig]) -> None:
    if not any(
        weight.from_ or weight.end if isinstance(weight, ScheduleConfig) else weight for weight in weights
    ):
        raise ValueError("every reward has weight 0, so nothing would be trained; give one a weight above 0")

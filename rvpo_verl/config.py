"""What a user may write under `algorithm.rvpo` and `reward.rvpo`, validated once.

The models are frozen and refuse unknown keys; `parse` turns every complaint into one `ConfigError`
that names the full key, the value given and what is accepted.
"""

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from rvpo_verl.errors import ConfigError

RESERVED_NAMES = frozenset(
    {
        "reward", "uid", "index", "pred", "prompt", "raw_prompt", "data_source", "reward_model", "extra_info",
        "tool_extra_fields", "reward_scores", "multi_modal_inputs", "rvpo_rewards",
    }
)  # fmt: skip
"""Names that verl gives a meaning of its own in the batch that the scores travel in."""


def _reward_name(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"{name!r} already has a meaning in verl's batch; choose another name")
    if not name or not all(character.isalnum() or character in "_-." for character in name):
        raise ValueError(f"{name!r} is not a reward name: use letters, digits, '_', '-' and '.'")
    return name


RewardName = Annotated[str, AfterValidator(_reward_name)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _steps(over: Any) -> Any:
    if over == "run":
        return over
    if isinstance(over, bool) or not str(over).isdigit() or int(over) < 1:
        raise ValueError('expected a number of global steps, at least 1, or "run"')
    return int(over)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Schedule(Strict):
    """The risk coefficient as a function of the trainer's global step (paper: linear, 0.5 to 2.0)."""

    schedule: Literal["constant", "linear", "cosine"]
    from_: Annotated[float, Field(ge=0)] = Field(alias="from")
    """k at the first step."""
    to: Annotated[float, Field(ge=0)] | None = None
    """k at the last step of the schedule; kept from there on."""
    over: Annotated[Any, BeforeValidator(_steps)] = "run"
    """Length in global steps, or "run" for all steps of the training."""

    @model_validator(mode="after")
    def _ends_fit(self) -> "Schedule":
        if self.schedule == "constant":
            if self.to is not None:
                raise ValueError("a constant schedule has no `to`; write k as a number")
        elif self.to is None:
            raise ValueError(f"a {self.schedule} schedule needs `to`, the k at its end")
        elif not (math.isfinite(self.from_) and math.isfinite(self.to)):
            raise ValueError("only a constant k may be infinite; `from` and `to` must be finite")
        return self


RiskCoefficient = Annotated[
    Annotated[float, Field(ge=0), Tag("number")] | Annotated[Schedule, Tag("schedule")],
    Discriminator(lambda k: "schedule" if isinstance(k, Mapping | Schedule) else "number"),
]


class AdvantageConfig(Strict):
    """`algorithm.rvpo`: how several rewards of one response become one advantage."""

    aggregation: Literal["softmin", "mean", "min", "variance"] = "softmin"
    """softmin is RVPO; mean is GDPO; min is its limit k = inf; variance is the explicit penalty."""
    k: RiskCoefficient = 2.0
    """Risk coefficient of softmin: 0 is the mean, inf the minimum. A number or a schedule."""
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Penalty of `aggregation=variance`; softmin behaves like beta = k/2 near equal rewards."""
    eps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-6
    """Added to a group's standard deviation, as in GDPO and verl."""
    constant_rewards: Literal["keep", "drop"] = "keep"
    """Whether a reward that is constant in its group (Z = 0) is a member of the aggregate."""
    bonus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Credit for rare successes of responses that give nothing up for them (`advantage.success_bonus`)."""
    center_groups: bool = True
    """Subtract each group's mean after the aggregation, so that a constant group receives 0."""
    whitening: Literal["token", "response", "none"] = "token"
    """Batch statistics over tokens (verl, GDPO), over responses, or no whitening."""
    reward_keys: list[RewardName] | None = None
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
    """Seconds until the reward counts as failed; null waits for ever."""
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


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], values: Any, path: str) -> Model:
    """Validates `values`, found at configuration key `path`.

    Raises:
        ConfigError: with one line for each complaint.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}={values!r}: expected a mapping with keys {', '.join(_keys(model))}")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = dict.fromkeys(_complaint(model, complaint, path) for complaint in error.errors())
        raise ConfigError("\n".join(lines)) from None


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _complaint(model: type[BaseModel], complaint: Any, path: str) -> str:
    written = [str(part) for part in complaint["loc"]]
    if written[:1] == ["k"]:
        del written[1:2]  # the branch of the union, which the user never wrote
    key = ".".join([path, *written])
    given = complaint["input"]
    if complaint["type"] == "extra_forbidden":
        accepted = _keys(_owner(model, written[:-1]))
        near = difflib.get_close_matches(written[-1], accepted, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key}={given!r}: unknown key; accepted: {', '.join(accepted)}{hint}"
    message = complaint["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if isinstance(given, Mapping) else f"{key}={given!r}: {message}"


def _owner(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    """The model whose keys stand at `location`."""
    for part in location:  # names in a mapping, indices in a list and branches of a union are no fields
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in the annotation of a field: `RewardSpec` in `dict[RewardName, RewardSpec]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)

"""What the plugin reads of verl's configuration."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.config import AdvantageConfig, RewardsConfig, ScheduleConfig, base_weight
from rvpo_verl.core import Schedule, Settings, aggregations
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.protocol import RunContext
from rvpo_verl.rewards.registry import absolute, is_file
from rvpo_verl.schema import parse

NAME = "rvpo"
"""Of the advantage estimator, of the reward manager, and of the keys under `algorithm` and `reward`."""


def advantage_config(algorithm: Any) -> AdvantageConfig:
    """`algorithm.rvpo` of verl's configuration (a mapping or None), every default where it is absent.

    Raises:
        ConfigError: it is not valid.
    """
    values = _plain(algorithm.get(NAME, None)) if algorithm is not None else None
    return parse(AdvantageConfig, {} if values is None else values, "algorithm.rvpo")


def settings(config: AdvantageConfig, rewards: RewardsConfig | None = None) -> Settings:
    """What the core computes with.

    Args:
        rewards: what the `rvpo` manager computes; None with another one.

    Raises:
        ConfigError: the aggregation cannot be found or used.
    """
    weights = (rewards.weights() if rewards else config.reward_weights) or {}
    try:
        aggregation = aggregations.find(config.aggregation)
    except ConfigError as error:
        raise ConfigError(f"algorithm.rvpo.{error}") from error.__cause__
    return Settings(
        aggregation=aggregation,
        k=_scheduled(config.k),
        beta=config.beta,
        eps=config.eps,
        constant_rewards=config.constant_rewards,
        bonus=config.bonus,
        center_groups=config.center_groups,
        weights={name: _scheduled(w) for name, w in weights.items() if isinstance(w, ScheduleConfig)},
        whitening=config.whitening,
    )


def _scheduled(value: float | ScheduleConfig) -> float | Schedule:
    if not isinstance(value, ScheduleConfig):
        return value
    if value.schedule == "constant" or value.to is None:
        return value.from_
    return Schedule(value.schedule, value.from_, value.to, None if value.over == "run" else value.over)


def reward_keys(config: AdvantageConfig, algorithm: Any) -> dict[str, float]:
    """Weight by key of `reward_extra_info`: `rvpo.reward_keys`, else verl's `gdpo_reward_keys`, else none. It is 1 for
    one that follows a schedule, which `Settings.weights` has.

    Raises:
        ConfigError: gdpo_reward_weights do not fit gdpo_reward_keys.
    """
    if config.reward_keys is not None:
        by_key = config.reward_weights or {}
        return {key: base_weight(by_key.get(key, 1.0)) for key in config.reward_keys}
    keys: list[str] = _list(algorithm, "gdpo_reward_keys", str, "[format,correct]") or []
    given: list[float] | None = _list(algorithm, "gdpo_reward_weights", int | float, "[1.0,2.0]")
    weights = [1.0] * len(keys) if given is None else given
    if len(set(keys)) != len(keys):
        raise ConfigError(f"algorithm.gdpo_reward_keys={keys}: duplicate reward names; each name once")
    if len(keys) != len(weights):
        raise ConfigError(
            f"algorithm.gdpo_reward_weights={weights} has {len(weights)} weights for the {len(keys)} keys {keys}"
        )
    if any(weight < 0 for weight in weights) or (keys and not any(weights)):
        raise ConfigError(
            f"algorithm.gdpo_reward_weights={weights}: rvpo needs weights of at least 0, one of them above 0"
        )
    return dict(zip(keys, map(float, weights), strict=True))


def _list(algorithm: Any, key: str, kind: Any, example: str) -> list[Any] | None:
    """
    Raises:
        ConfigError: it is no list, or holds something else.
    """
    values: list[Any] | None = _plain((algorithm or {}).get(key, None))
    if values is None:
        return None
    wrong = not isinstance(values, list) or any(
        isinstance(v, bool) or not isinstance(v, kind) for v in values
    )
    if wrong:
        raise ConfigError(f"algorithm.{key}={values!r}: expected a list, such as algorithm.{key}={example}")
    return values


def rewards_config(config: DictConfig) -> RewardsConfig | None:
    """`reward.rvpo`, if the `rvpo` manager computes the rewards.

    Raises:
        ConfigError: it is not valid, or names no rewards.
    """
    if OmegaConf.select(config, "reward.reward_manager.name") != NAME:
        return None
    values = OmegaConf.select(config, "reward.rvpo")
    if values is None:
        raise ConfigError(
            "reward.reward_manager.name=rvpo, but reward.rvpo names no rewards: use a preset "
            "(+rvpo=tool_calling) or +reward.rvpo.rewards.NAME.function=package.module:function; "
            "`rvpo-verl rewards` lists what is installed"
        )
    return parse(RewardsConfig, _plain(values), "reward.rvpo")


def resolve_paths(config: DictConfig) -> None:
    """Makes the paths of reward files absolute, in place: a worker has another working directory."""
    rewards = OmegaConf.select(config, "reward.rvpo.rewards")
    for name, spec in (rewards or {}).items():
        function = OmegaConf.select(spec, "function") if OmegaConf.is_config(spec) else None
        if isinstance(function, str) and is_file(function):
            OmegaConf.update(config, f"reward.rvpo.rewards.{name}.function", absolute(function))


def unknown_arguments(config: DictConfig) -> set[str]:
    """Arguments of rewards that verl does not know where this configuration has them scored."""
    reward_model = OmegaConf.select(config, "reward.reward_model") or {}
    colocated = reward_model.get("enable") and not reward_model.get("enable_resource_pool")
    return {"global_step", "validate"} if colocated else set()


def run_context(config: DictConfig) -> RunContext:
    """What rewards may know of the training before it starts."""
    return RunContext(
        reward_workers=int(OmegaConf.select(config, "reward.num_workers") or 1),
        serves_reward_model=bool(OmegaConf.select(config, "reward.reward_model.enable")),
    )


def _plain(values: Any) -> Any:
    if isinstance(values, Mapping):  # of verl's classes too, which hold values of omegaconf
        values = OmegaConf.create(dict(values)) if not OmegaConf.is_config(values) else values
    return OmegaConf.to_container(values, resolve=True) if OmegaConf.is_config(values) else values

"""Reward vectors out of what verl keeps of a reward manager's `reward_extra_info`."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rvpo_verl.config import AdvantageConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.vector import KEY, RewardVector


def reward_keys(settings: AdvantageConfig, algorithm: Any) -> dict[str, float]:
    """Weight by key of `reward_extra_info`: `rvpo.reward_keys`, else verl's `gdpo_reward_keys`, else none.

    Raises:
        ConfigError: gdpo_reward_weights do not fit gdpo_reward_keys.
    """
    if settings.reward_keys is not None:
        return {key: (settings.reward_weights or {}).get(key, 1.0) for key in settings.reward_keys}
    keys = list((algorithm or {}).get("gdpo_reward_keys", None) or [])
    weights = list((algorithm or {}).get("gdpo_reward_weights", None) or [1.0] * len(keys))
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


def fields(settings: AdvantageConfig, algorithm: Any) -> list[str]:
    """Keys of `reward_extra_info` that may hold reward vectors."""
    return [KEY, *reward_keys(settings, algorithm)]


def from_infos(
    infos: Iterable[Mapping[str, Any]], settings: AdvantageConfig, algorithm: Any
) -> list[RewardVector]:
    """One vector per row of the batch.

    Args:
        infos: `reward_extra_info` of each row.

    Raises:
        ConfigError: no row has the keys, or a value is not a number.
    """
    infos = list(infos)
    if infos and all(info.get(KEY) is not None for info in infos):
        return [RewardVector.loads(info[KEY]) for info in infos]
    weights = reward_keys(settings, algorithm)
    found = sorted({key for info in infos for key in info})
    absent = [key for key in weights if key not in found]
    if absent or not weights:
        raise ConfigError(
            f"no reward vectors in the batch: looked for {list(weights) or 'reward keys'} in reward_extra_info, "
            f"absent: {absent or [KEY]}, there: {found}. Use reward.reward_manager.name=rvpo, or name in "
            "algorithm.rvpo.reward_keys what your scoring function returns beside its score"
        )
    return [
        RewardVector({key: _score(key, info.get(key)) for key in weights}, weights=weights) for info in infos
    ]


def from_columns(
    columns: Mapping[str, Any], settings: AdvantageConfig, algorithm: Any, rows: int
) -> list[RewardVector]:
    """The same from verl's `non_tensor_batch`, which holds one array per key."""
    wanted = [key for key in fields(settings, algorithm) if key in columns]
    infos = [{key: columns[key][row] for key in wanted} for row in range(rows)]
    try:
        return from_infos(infos, settings, algorithm)
    except ConfigError as error:
        raise ConfigError(f"{error} (non_tensor_batch holds {sorted(columns)})") from None


def _score(key: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"reward key {key!r} holds {value!r} of type {type(value).__name__}; expected a number, or None "
            "where the reward does not apply"
        ) from None
    return score if math.isfinite(score) else None

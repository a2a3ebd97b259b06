"""verl's filter of groups (DAPO, `algorithm.filter_groups`), made right for reward vectors.

Trainer V1 drops a group in which one number of `reward_extra_info` has no standard deviation. `DIGEST` is a number that
tells whether any reward varies; a sum would drop groups whose rewards differ and add up alike.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from omegaconf import OmegaConf

from rvpo_verl.attach.verl_config import advantage_config, reward_keys
from rvpo_verl.rewards.vector import KEY, RewardVector

DIGEST = "rvpo_vector"
"""Key of `reward_extra_info`: text of a number, equal for two responses if, and only if, all their rewards are."""


def add_digest(info: dict[str, Any], config: Any) -> None:
    """Adds `DIGEST` to what a reward manager reported, if this training filters groups by it."""
    options = OmegaConf.select(config, "algorithm.filter_groups") or {}
    if not options.get("enable") or options.get("metric") != DIGEST:
        return
    if KEY in info:
        rewards: Mapping[str, Any] = RewardVector.loads(info[KEY]).scores
    else:
        keys = reward_keys(advantage_config(config.algorithm), config.algorithm)
        rewards = {key: None if info.get(key) is None else float(info[key]) for key in keys}
    # 32 bits, so that the standard deviation of equal ones is exactly 0 in verl's arithmetic; as text, which verl's
    # filter makes a number of, and validation leaves out of its averages and their bootstrap.
    text = orjson.dumps(rewards, option=orjson.OPT_SORT_KEYS)
    info[DIGEST] = str(int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big"))

"""verl's own registries: the estimator `rvpo` and the reward manager `rvpo`."""

from types import ModuleType
from typing import Any

from rvpo_verl.attach.estimator import NAME, compute_rvpo_advantage
from rvpo_verl.attach.hooks import seam
from rvpo_verl.errors import ConfigError


def register_estimator(core_algos: ModuleType) -> str:
    seam(core_algos, "register_adv_est", ("name_or_enum",))
    _make_room(core_algos.ADV_ESTIMATOR_REGISTRY, compute_rvpo_advantage, "advantage estimator")
    core_algos.register_adv_est(NAME)(compute_rvpo_advantage)
    return f"advantage estimator {NAME!r}"


def register_manager(reward_manager: ModuleType) -> str:
    from rvpo_verl.attach.manager import RvpoRewardManager

    seam(reward_manager, "register", ("name",))
    _make_room(reward_manager.registry.REWARD_MANAGER, RvpoRewardManager, "reward manager")
    reward_manager.register(NAME)(RvpoRewardManager)
    return f"reward manager {NAME!r}"


def _make_room(registry: dict[str, Any], ours: Any, what: str) -> None:
    """verl refuses the same object twice once it was reloaded or unpickled; somebody else's is an error."""
    there = registry.get(NAME)
    if there is None:
        return
    if (there.__module__, there.__qualname__) != (ours.__module__, ours.__qualname__):
        raise ConfigError(
            f"verl's {what} {NAME!r} is already {there.__module__}.{there.__qualname__}: uninstall or disable "
            "the package that registered it (VERL_USE_EXTERNAL_PLUGINS, VERL_USE_EXTERNAL_MODULES)"
        )
    del registry[NAME]

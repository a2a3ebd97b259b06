"""verl's own registries: the estimator `rvpo` and the reward manager `rvpo`."""

from types import ModuleType
from typing import Any

from rvpo_verl.attach.estimator import compute_rvpo_advantage
from rvpo_verl.attach.hooks import seam
from rvpo_verl.attach.verl_config import NAME
from rvpo_verl.errors import ConfigError


def register_estimator(core_algos: ModuleType) -> str:
    seam(core_algos, "register_adv_est", ("name_or_enum",))
    _unregister_own(core_algos.ADV_ESTIMATOR_REGISTRY, compute_rvpo_advantage, "advantage estimator")
    core_algos.register_adv_est(NAME)(compute_rvpo_advantage)
    return f"advantage estimator {NAME!r}"


def register_manager(reward_manager: ModuleType) -> str:
    from rvpo_verl.attach.manager import RvpoRewardManager

    seam(reward_manager, "register", ("name",))
    _unregister_own(reward_manager.registry.REWARD_MANAGER, RvpoRewardManager, "reward manager")
    reward_manager.register(NAME)(RvpoRewardManager)
    return f"reward manager {NAME!r}"


def _unregister_own(registry: dict[str, Any], ours: Any, what: str) -> None:
    """Removes our earlier registration, which verl does not replace.

    Raises:
        ConfigError: another package owns the name.
    """
    registered = registry.get(NAME)
    if registered is None:
        return
    if (registered.__module__, registered.__qualname__) != (ours.__module__, ours.__qualname__):
        raise ConfigError(
            f"verl's {what} {NAME!r} is already {registered.__module__}.{registered.__qualname__}: uninstall or "
            "disable the package that registered it (VERL_USE_EXTERNAL_PLUGINS, VERL_USE_EXTERNAL_MODULES)"
        )
    del registry[NAME]

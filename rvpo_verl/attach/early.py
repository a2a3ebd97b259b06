"""Hooks on modules that every process with verl, or every launcher, imports: so they import next to nothing."""

from types import ModuleType
from typing import Any

from rvpo_verl.attach.hooks import wrap


def register_search_path(plugins: ModuleType) -> str:
    """Makes `+rvpo=tool_calling` a config group of every launcher, without `hydra.searchpath`."""
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class RvpoSearchPath(SearchPathPlugin):
        def manipulate_search_path(self, search_path: Any) -> None:
            search_path.append("rvpo_verl", "pkg://rvpo_verl.conf")

    plugins.Plugins.instance().register(RvpoSearchPath)
    return "presets +rvpo=..."


def validate_early(module: ModuleType) -> str:
    """verl's launchers validate their configuration first of all; ours goes before theirs, which asserts."""

    def validate_config(original: Any, *args: Any, **kwargs: Any) -> Any:
        from rvpo_verl.attach.launch import validate

        validate(kwargs["config"] if "config" in kwargs else args[0])
        return original(*args, **kwargs)

    wrap(module, "validate_config", ("config",), validate_config)
    return "validate_config"


def validate_in_driver(module: ModuleType) -> str:
    """Before 0.9, `main_ppo` leaves `validate_config` to a Ray worker; this is what it calls before Ray starts."""

    def migrate_legacy_reward_impl(original: Any, *args: Any, **kwargs: Any) -> Any:
        from rvpo_verl.attach.launch import validate

        config = original(*args, **kwargs)
        validate(config)
        return config

    wrap(module, "migrate_legacy_reward_impl", ("config",), migrate_legacy_reward_impl)
    return "migrate_legacy_reward_impl: configuration"

"""Hooks on modules that every process with verl, or every launcher, imports: so they import next to nothing."""

from types import ModuleType
from typing import Any

from rvpo_verl.attach.seams import wrap


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

"""`+rvpo=tool_calling` as a config group of every launcher, without `hydra.searchpath`."""

from types import ModuleType
from typing import Any


def register_search_path(plugins: ModuleType) -> str:
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class RvpoSearchPath(SearchPathPlugin):
        def manipulate_search_path(self, search_path: Any) -> None:
            search_path.append("rvpo_verl", "pkg://rvpo_verl.conf")

    plugins.Plugins.instance().register(RvpoSearchPath)
    return "presets +rvpo=..."

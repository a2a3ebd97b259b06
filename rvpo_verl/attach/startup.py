"""A configuration that cannot train is refused before a model, data or workers are loaded.

These hooks are on modules that every process with verl imports, so that nothing is imported before it is needed.
"""

from types import ModuleType
from typing import Any

from rvpo_verl.attach.hooks import wrap


def validate_early(module: ModuleType) -> str:
    """verl's launchers validate their configuration first of all; ours goes before theirs, which asserts."""

    def validate_config(original: Any, *args: Any, **kwargs: Any) -> Any:
        _validate(kwargs["config"] if "config" in kwargs else args[0])
        return original(*args, **kwargs)

    wrap(module, "validate_config", ("config",), validate_config)
    return "validate_config"


def validate_in_driver(module: ModuleType) -> str:
    """Before 0.9, `main_ppo` leaves `validate_config` to a Ray worker; this is what it calls before Ray starts."""

    def migrate_legacy_reward_impl(original: Any, *args: Any, **kwargs: Any) -> Any:
        config = original(*args, **kwargs)
        _validate(config)
        return config

    wrap(module, "migrate_legacy_reward_impl", ("config",), migrate_legacy_reward_impl)
    return "migrate_legacy_reward_impl: configuration"


def validate_in_constructor(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """For launchers that build a trainer without verl's `validate_config`."""
    from rvpo_verl.attach.validation import validate

    validate(kwargs["config"] if "config" in kwargs else args[0])
    original(self, *args, **kwargs)


def _validate(config: Any) -> None:
    from rvpo_verl.attach.probe import probe
    from rvpo_verl.attach.validation import validate
    from rvpo_verl.attach.verl_config import resolve_paths

    resolve_paths(config)
    validate(config)
    probe(config)

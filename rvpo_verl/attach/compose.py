"""The configuration that a launcher of verl would train with."""

import importlib
import inspect
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.attach.probe import planning
from rvpo_verl.attach.validation import validate
from rvpo_verl.errors import ConfigError

CONFIG_NAME = "ppo_trainer"


def compose_config(main: str, arguments: Sequence[str]) -> DictConfig:
    """Composes `arguments` as `python -m MAIN ARGUMENTS...` does, and validates the result.

    Args:
        main: a launcher of verl, such as verl.trainer.main_ppo.
        arguments: Hydra overrides, and Hydra's `--config-name`.

    Returns:
        What the launcher hands to Ray, every value resolved.

    Raises:
        ConfigError: the complaint of Hydra, of this plugin or of verl.
    """
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException

    launcher = _launcher(main)
    overrides, name = _without_config_name(arguments)
    try:
        with initialize_config_module("verl.trainer.config", version_base=None):
            config = compose(name, overrides)
    except HydraException as error:
        raise ConfigError(f"Hydra refused the options: {_causes(error)}") from None
    try:
        with planning():
            config = _run_up_to_ray(launcher, config)
            _validate(config)
    except ConfigError:
        raise
    # verl refuses with AssertionError and ValueError, omegaconf and dataclasses with their own errors.
    except Exception as error:
        raise ConfigError(f"verl refused the configuration: {type(error).__name__}: {error}") from error
    return config


def _launcher(main: str):
    try:
        return importlib.import_module(main)
    except ModuleNotFoundError as error:
        if not main.startswith(error.name or main):
            raise
        raise ConfigError(f"--main {main}: the installed verl has no such launcher") from None


def _without_config_name(arguments: Sequence[str]) -> tuple[list[str], str]:
    overrides, name = [], CONFIG_NAME
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--config-name":
            name = next(remaining, CONFIG_NAME)
        elif argument.startswith("--config-name="):
            name = argument.split("=", 1)[1]
        else:
            overrides.append(argument)
    return overrides, name.removesuffix(".yaml")


def _run_up_to_ray(launcher, config: DictConfig) -> DictConfig:
    """Runs the launcher's `main` on `config`, with its `run_ppo`, which starts Ray, replaced."""
    received: list[DictConfig] = []

    def run_ppo(config: DictConfig, *args, **kwargs) -> None:
        received.append(config)

    start = launcher.run_ppo
    launcher.run_ppo = run_ppo
    try:
        inspect.unwrap(launcher.main)(config)
    finally:
        launcher.run_ppo = start
    return received[0]


def _validate(config: DictConfig) -> None:
    """Our validation, then verl's own, which its launchers before 0.9 leave to a Ray worker."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    validate(config)
    OmegaConf.resolve(config)
    validate_config(
        config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config)
    )


def _causes(error: BaseException | None) -> str:
    """The lines of an error and of its causes, each once."""
    lines = []
    while error is not None:
        lines += [line for line in str(error).splitlines() if line.strip() and line not in lines]
        error = error.__cause__
    return "\n  ".join(lines)

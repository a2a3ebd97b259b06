"""The configuration that a launcher of verl would train with."""

import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path

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
    from hydra import compose, initialize_config_dir, initialize_config_module
    from hydra.errors import HydraException

    launcher = _launcher(main)
    overrides, name, folder = _hydra_arguments(arguments)
    source = (
        initialize_config_module("verl.trainer.config", version_base=None)
        if folder is None
        else initialize_config_dir(str(folder), version_base=None)
    )
    try:
        with source:
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


def _hydra_arguments(arguments: Sequence[str]) -> tuple[list[str], str, Path | None]:
    """Overrides, the name of the configuration, and its folder: None for verl's own. Read by Hydra's own parser."""
    from hydra._internal.utils import get_args_parser

    parsed, unknown = get_args_parser().parse_known_args(list(arguments))
    if unknown:
        raise ConfigError(f"Hydra does not know {' '.join(unknown)}")
    folder = None if parsed.config_path is None else Path(parsed.config_path).expanduser().resolve()
    overrides = list(parsed.overrides)
    if parsed.config_dir is not None:
        overrides.append(f"hydra.searchpath=[file://{Path(parsed.config_dir).expanduser().resolve()}]")
    return overrides, (parsed.config_name or CONFIG_NAME).removesuffix(".yaml"), folder


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

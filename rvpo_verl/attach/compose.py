"""The configuration that a launcher of verl would train with."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.attach.probe import planning
from rvpo_verl.attach.validation import validate
from rvpo_verl.errors import ConfigError


def compose_config(main: str, arguments: Sequence[str]) -> DictConfig:
    """Composes `arguments` as `python -m MAIN ARGUMENTS...` does, and validates the result.

    Args:
        main: a launcher of verl, such as verl.trainer.main_ppo.
        arguments: Hydra overrides, and Hydra's options `--config-name`, `--config-path` and `--config-dir`.

    Returns:
        What the launcher hands to Ray, every value resolved.

    Raises:
        ConfigError: the complaint of Hydra, of this plugin or of verl.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    launcher = _launcher(main)
    overrides, name, folder = _hydra_arguments(launcher, arguments)
    try:
        with initialize_config_dir(str(folder), version_base=None):
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


def _launcher(main: str) -> ModuleType:
    try:
        launcher = importlib.import_module(main)
    except ModuleNotFoundError as error:
        if not main.startswith(error.name or main):
            raise
        raise ConfigError(f"--main {main}: the installed verl has no such launcher") from None
    if not hasattr(launcher, "main"):
        raise ConfigError(
            f"--main {main}: it has no main function to start, so that it is no launcher. Trainer V0 of verl "
            "0.9 is started by verl.trainer.main_ppo with trainer.use_v1=False"
        )
    return launcher


def _hydra_arguments(launcher: ModuleType, arguments: Sequence[str]) -> tuple[list[str], str, Path]:
    """Overrides, and name and folder of the configuration: the launcher's own unless the arguments name others."""
    from hydra._internal.utils import get_args_parser

    parsed, unknown = get_args_parser().parse_known_args(list(arguments))
    if unknown:
        raise ConfigError(f"Hydra does not know {' '.join(unknown)}")
    given = _given_to_hydra(launcher)
    path = Path(parsed.config_path or given["config_path"]).expanduser()
    overrides = list(parsed.overrides)
    if parsed.config_dir is not None:
        overrides.append(f"hydra.searchpath=[file://{Path(parsed.config_dir).expanduser().resolve()}]")
    name = (parsed.config_name or given["config_name"]).removesuffix(".yaml")
    return overrides, name, (Path(inspect.getfile(launcher)).parent / path).resolve()


def _given_to_hydra(launcher: ModuleType) -> Mapping[str, Any]:
    """The arguments of `hydra.main`, which its decorator keeps; verl 0.8 puts another decorator around it."""

    def variables(function: Callable[..., Any]) -> Mapping[str, Any]:
        return inspect.getclosurevars(function).nonlocals

    return variables(
        inspect.unwrap(launcher.main, stop=lambda function: "config_path" in variables(function))
    )


def _run_up_to_ray(launcher: ModuleType, config: DictConfig) -> DictConfig:
    """Runs the launcher's `main` on `config`, with verl's `run_ppo`, which starts Ray, replaced."""
    received: list[DictConfig] = []

    def run_ppo(config: DictConfig, *args: Any, **kwargs: Any) -> None:
        received.append(config)

    # Some launchers import it in `main`, others at their top.
    with ExitStack() as restored:
        modules: list[Any] = [importlib.import_module("verl.trainer.main_ppo"), launcher]
        for module in modules:
            if hasattr(module, "run_ppo"):
                restored.callback(setattr, module, "run_ppo", module.run_ppo)
                module.run_ppo = run_ppo
        inspect.unwrap(launcher.main)(config)
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

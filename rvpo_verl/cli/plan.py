"""`rvpo-verl plan`: what a launch would do."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from rvpo_verl.cli.console import new_table, print_tables, print_warning

if TYPE_CHECKING:
    from rvpo_verl.plan.plan import Plan

CONTEXT_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The arguments are Hydra's."""


def plan(
    context: typer.Context,
    main: Annotated[str, typer.Option(help="Launcher of verl.")] = "verl.trainer.main_ppo",
    gpu_memory: Annotated[
        float, typer.Option(envvar="GPU_MEMORY_GB", min=1, help="Memory of one GPU in GB.")
    ] = 80,
    data: Annotated[bool, typer.Option(help="Read the data files.")] = True,
) -> None:
    """Check a launch of verl without a GPU, and print what it would do: rvpo-verl plan [HYDRA OVERRIDES]..."""
    with contextlib.redirect_stdout(sys.stderr):  # verl prints while it composes
        from rvpo_verl.attach.hooks import verl_version
        from rvpo_verl.plan.plan import make_plan

        made = make_plan(main, context.args, gpu_memory, data)
    table = new_table("", "", title=f"{main}, verl {verl_version()}", show_header=False)
    for name, value in [*_run_lines(made), *_memory_lines(made, gpu_memory)]:
        table.add_row(name, escape(value))
    print_tables(table)
    for warning in made.warnings:
        print_warning(warning)


def _run_lines(plan: "Plan") -> Iterator[tuple[str, str]]:
    from rvpo_verl.plan.workload import rollout_gpus

    config, work = plan.config, plan.workload
    trainer, actor_rollout = config.trainer, config.actor_rollout_ref
    yield "algorithm", _algorithm(config)
    if rewards := _rewards(config):
        yield "rewards", rewards
    generating = f", and {alone} for generation alone" if (alone := rollout_gpus(config)) else ""
    yield (
        "GPUs",
        f"{trainer.nnodes} x {trainer.n_gpus_per_node}, actor {actor_rollout.actor.strategy}{generating}",
    )
    if work.steps is None:
        yield "steps", f"unknown without the data; {trainer.total_epochs} epochs"
    elif work.steps_per_epoch is None:
        yield "steps", f"{work.steps}"
    else:
        epoch = f"{work.steps_per_epoch:,} an epoch, before overlong prompts are left out"
        yield "steps", f"{work.steps:,} ({epoch})"
    rollouts = f"{work.prompts:,} prompts x {actor_rollout.rollout.n} = {work.rollouts:,} rollouts"
    yield "a step", f"{rollouts}, optimizer updates: {work.updates}"
    for name, (step, validation) in work.service_calls.items():
        yield "service calls", f"{name}: {step:,.0f} a step, {validation:,.0f} a validation"
    if work.steps is not None:
        saved = f"{work.checkpoints} in {trainer.default_local_dir}, resume {trainer.resume_mode}"
        yield "checkpoints", saved
        yield "validations", f"{work.validations}"
    loggers = [trainer.logger] if isinstance(trainer.logger, str) else trainer.logger
    yield "logs", ", ".join(loggers or ["none"])


def _algorithm(config: Any) -> str:
    from rvpo_verl.attach.verl_config import NAME, advantage_config
    from rvpo_verl.config import ScheduleConfig

    estimator: str = config.algorithm.adv_estimator
    if estimator != NAME:
        return estimator
    settings = advantage_config(config.algorithm)
    k, shown = settings.k, f"{settings.k}"
    if isinstance(k, ScheduleConfig):
        shown = f"{k.schedule} from {k.from_:g}" + ("" if k.to is None else f" to {k.to:g} over {k.over}")
    detail = {"softmin": f", k {shown}", "variance": f", beta {settings.beta}"}.get(settings.aggregation, "")
    return f"{estimator}, aggregation {settings.aggregation}{detail}"


def _rewards(config: Any) -> str:
    from rvpo_verl.attach.verl_config import NAME, advantage_config, rewards_config
    from rvpo_verl.config import final_weight

    if (of_manager := rewards_config(config)) is not None:
        weights = of_manager.weights()
    elif config.algorithm.adv_estimator == NAME:
        options = advantage_config(config.algorithm)
        weights = {key: (options.reward_weights or {}).get(key, 1.0) for key in options.reward_keys or ()}
    else:
        return ""
    return ", ".join(f"{name} ({final_weight(weight):g})" for name, weight in weights.items())


def _memory_lines(plan: "Plan", card_gb: float) -> Iterator[tuple[str, str]]:
    shape, memory, data = plan.shape, plan.memory, plan.config.data
    if shape is None or memory is None:
        return
    yield (
        "model",
        f"{plan.config.actor_rollout_ref.model.path}, {shape.parameters / 1e9:.2f} billion parameters",
    )
    yield (
        "training",
        f"about {memory.training:.0f} of {card_gb:g} GB a GPU: parameters, gradients, optimizer {memory.state:.1f}, "
        f"activations {memory.activations:.1f}",
    )
    responses = memory.kv_tokens // (data.max_prompt_length + data.max_response_length)
    yield (
        "generation",
        f"about {memory.generation:.0f} of {card_gb:g} GB a GPU: {plan.config.actor_rollout_ref.rollout.name} "
        f"{memory.rollout:.1f} (weights "
        f"{memory.weights:.1f}; KV cache for {responses:,} responses of full length), kept from "
        f"training {memory.kept:.1f}",
    )
    on_disk = f"{memory.checkpoint:,.0f} GB a checkpoint"
    count = plan.workload.checkpoints
    if count:
        kept = min(count, plan.config.trainer.max_actor_ckpt_to_keep or count)
        on_disk += f", {kept * memory.checkpoint:,.0f} GB in all"
    yield "on disk", on_disk

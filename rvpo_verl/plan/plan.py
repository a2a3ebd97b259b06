"""Everything that is known of a launch before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from rvpo_verl.attach.compose import compose_config
from rvpo_verl.attach.data_files import check_data_sources
from rvpo_verl.errors import UserError
from rvpo_verl.plan.data import DataReport, inspect_files
from rvpo_verl.plan.memory import Memory, estimate
from rvpo_verl.plan.model import ModelShape, model_shape
from rvpo_verl.plan.workload import Workload, workload


@dataclass(frozen=True)
class Plan:
    config: DictConfig
    """What the launcher would hand to Ray."""
    workload: Workload
    shape: ModelShape | None
    """None for a model that cannot be measured."""
    memory: Memory | None
    """None without a shape."""
    warnings: list[str]


def make_plan(main: str, overrides: Sequence[str], card_gb: float, with_data: bool) -> Plan:
    """Checks a launch, and computes what it would do.

    Args:
        main: a launcher of verl, such as verl.trainer.main_ppo.
        overrides: Hydra's, and its `--config-name`.
        card_gb: memory of one GPU in GiB.
        with_data: whether to read the data files; without them steps may be unknown.

    Raises:
        ConfigError: why the launch would fail.
    """
    config = compose_config(main, overrides)
    data = inspect_files(config) if with_data else DataReport(None, None, [])
    work = workload(config, data.train, data.validation)
    warnings = [
        *data.absent,
        *(check_data_sources(config) if with_data else []),
        *_step_warnings(config, work),
    ]
    shape = memory = None
    try:
        model = config.actor_rollout_ref.model
        shape = model_shape(model.path, bool(model.get("trust_remote_code", False)))
    except UserError as error:
        warnings.append(f"no memory estimate: {error}")
    else:
        memory = estimate(config, shape, card_gb)
        warnings += _memory_warnings(config, memory, card_gb)
    return Plan(config, work, shape, memory, warnings)


def _step_warnings(config: DictConfig, work: Workload) -> list[str]:
    if work.steps == 0:
        return [
            f"not one step: rollout.total_rollout_steps={config.rollout.total_rollout_steps} prompts are fewer than "
            f"the {work.prompts} of a step"
        ]
    planned = config.trainer.total_training_steps
    if planned is None or work.steps is None or work.steps >= planned:
        return []
    return [
        f"trainer.total_training_steps={planned}, but {config.trainer.total_epochs} epochs of the data are only "
        f"{work.steps} steps: raise trainer.total_epochs"
    ]


def _memory_warnings(config: DictConfig, memory: Memory, card_gb: float) -> list[str]:
    phases = (
        ("training", memory.training, "lower ppo_max_token_len_per_gpu, or use more GPUs"),
        (
            "generation",
            memory.generation,
            "move the training state to the host meanwhile (param_offload, optimizer_offload), or lower "
            "gpu_memory_utilization",
        ),
    )
    warnings = [
        f"{phase} needs about {needed:.0f} GB a GPU, the card has {card_gb:g}; {advice}"
        for phase, needed, advice in phases
        if needed > card_gb
    ]
    if memory.kv_tokens < config.data.max_prompt_length + config.data.max_response_length:
        warnings.append(
            "vLLM's weights leave no memory for one response: raise "
            "actor_rollout_ref.rollout.gpu_memory_utilization or tensor_model_parallel_size"
        )
    return warnings

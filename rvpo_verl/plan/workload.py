"""How often things happen: steps, rollouts, calls to services, validations, checkpoints."""

from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.errors import ConfigError
from rvpo_verl.plan.data import DataFacts


@dataclass(frozen=True)
class Workload:
    prompts: int
    """Prompts a step."""
    rollouts: int
    """Responses a step."""
    updates: int
    """Optimizer updates a step."""
    steps: int | None
    """Of the whole run; None where only the data would tell."""
    steps_per_epoch: int | None
    service_calls: dict[str, tuple[float, float]]
    """Calls to services in a step and in a validation, by reward; empty without the data."""
    checkpoints: int | None
    validations: int | None


def workload(config: DictConfig, train: DataFacts | None, validation: DataFacts | None) -> Workload:
    """
    Args:
        train, validation: None if the data were not read; then what depends on them is None.

    Raises:
        ConfigError: the data do not fill one step.
    """
    trainer, actor, rollout = config.trainer, config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    asynchronous = "async_training" in config
    prompts = _prompts(config)
    per_epoch = None if train is None else train.rows // prompts  # verl drops the last, smaller batch
    if train is not None and per_epoch == 0:
        raise ConfigError(
            f"{_PROMPTS[asynchronous]}={prompts}: the training files hold only {train.rows} rows, not one full batch"
        )
    rollouts = OmegaConf.select(config, "rollout.total_rollout_steps")
    limits = [
        trainer.total_training_steps,
        None if rollouts is None else rollouts // prompts,
        None if per_epoch is None else per_epoch * trainer.total_epochs,
    ]
    steps = min((limit for limit in limits if limit is not None), default=None)
    validations = _times(steps, trainer.test_freq)
    if validations is not None and trainer.val_before_train:
        validations += 1
    validated = validation.rows * rollout.val_kwargs.n if validation else 0
    return Workload(
        prompts=prompts,
        rollouts=prompts * rollout.n,
        updates=actor.ppo_epochs * -(-prompts // actor.ppo_mini_batch_size),
        steps=steps,
        steps_per_epoch=per_epoch,
        service_calls={
            name: (
                prompts * rollout.n * calls,
                validated * validation.service_calls.get(name, 0.0) if validation else 0.0,
            )
            for name, calls in (train.service_calls if train else {}).items()
        },
        checkpoints=_times(steps, trainer.save_freq),
        validations=validations,
    )


_PROMPTS = {
    False: "data.train_batch_size",
    True: "ppo_mini_batch_size x require_batches x trigger_parameter_sync_step",
}
"""What makes the prompts of a step; of verl's fully asynchronous trainer, which counts a step where it hands its
parameters over, and of the others."""


def _prompts(config: DictConfig) -> int:
    prompts: int
    if "async_training" in config:
        minibatches = (
            config.async_training.require_batches * config.async_training.trigger_parameter_sync_step
        )
        prompts = config.actor_rollout_ref.actor.ppo_mini_batch_size * minibatches
    else:
        prompts = config.data.train_batch_size
    return prompts


def rollout_gpus(config: DictConfig) -> int:
    """GPUs that only generate; 0 where those of the training generate."""
    pool = config.get("rollout")  # of the asynchronous trainers of `verl.experimental`
    if pool is None and OmegaConf.select(config, "trainer.v1.trainer_mode") == "separate_async":
        pool = config.actor_rollout_ref.rollout
    return 0 if pool is None else pool.nnodes * pool.n_gpus_per_node


def _times(steps: int | None, every: int) -> int | None:
    """verl also saves and validates after the last step."""
    if every <= 0:
        return 0
    return None if steps is None else -(-steps // every)

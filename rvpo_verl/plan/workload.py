"""How often what happens: steps, rollouts, judge calls, validations, checkpoints."""

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
    """Optimizer steps a step."""
    steps: int | None
    """Of the whole run; None where only the data would tell."""
    steps_per_epoch: int | None
    judge_calls: float | None
    """A step; None without a rubric judge, or where only the data would tell."""
    validation_judge_calls: float | None
    checkpoints: int | None
    validations: int | None


def workload(config: DictConfig, train: DataFacts | None, validation: DataFacts | None) -> Workload:
    """
    Args:
        train: None if the data were not read; then what depends on them is None.

    Raises:
        ConfigError: the data do not fill one step.
    """
    trainer, actor = config.trainer, config.actor_rollout_ref.actor
    prompts, group = config.data.train_batch_size, config.actor_rollout_ref.rollout.n
    per_epoch = None if train is None else train.rows // prompts  # the last, smaller batch is dropped
    if per_epoch == 0:
        raise ConfigError(
            f"data.train_batch_size={prompts}: the training files hold only {train.rows} rows, not one full batch"
        )
    limits = [trainer.total_training_steps, None if per_epoch is None else per_epoch * trainer.total_epochs]
    steps = min((limit for limit in limits if limit is not None), default=None)
    validations = _times(steps, trainer.test_freq)
    if validations is not None and trainer.val_before_train:
        validations += 1
    return Workload(
        prompts=prompts,
        rollouts=prompts * group,
        updates=actor.ppo_epochs * -(-prompts // actor.ppo_mini_batch_size),
        steps=steps,
        steps_per_epoch=per_epoch,
        judge_calls=_judge_calls(config, prompts * group, train),
        validation_judge_calls=_judge_calls(
            config,
            config.actor_rollout_ref.rollout.val_kwargs.n * (validation.rows if validation else 0),
            validation,
        ),
        checkpoints=_times(steps, trainer.save_freq),
        validations=validations,
    )


def _times(steps: int | None, every: int) -> int | None:
    """verl also saves and validates after the last step."""
    if every <= 0:
        return 0
    return None if steps is None else -(-steps // every)


def _judge_calls(config: DictConfig, responses: int, data: DataFacts | None) -> float | None:
    rubric = OmegaConf.select(config, "reward.rvpo.rewards.rubric")
    if rubric is None or data is None or data.criteria is None:
        return None
    judge = OmegaConf.select(rubric, "kwargs.judge") or {}
    calls = 1 if judge.get("calls") == "response" else data.criteria
    return responses * calls * judge.get("votes", 1)

"""Before training: a configuration that cannot train is refused at once."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.attach import vectors
from rvpo_verl.attach.estimator import NAME, advantage_config
from rvpo_verl.config import RewardsConfig, parse
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.disagreement import disagreements
from rvpo_verl.rewards.failures import failure_shares
from rvpo_verl.rewards.vector import RewardVector

OFFLINE: ContextVar[bool] = ContextVar("rvpo_offline", default=False)
"""True while a plan is made, which must not need what only the training needs, such as a judge that answers."""


def validate_in_constructor(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """For launchers that build a trainer without verl's `validate_config`."""
    config = kwargs["config"] if "config" in kwargs else args[0]
    validate(config)
    original(self, *args, **kwargs)


def rewards_config(config: DictConfig) -> RewardsConfig | None:
    """`reward.rvpo`, if the `rvpo` manager computes the rewards."""
    if OmegaConf.select(config, "reward.reward_manager.name") != NAME:
        return None
    values = OmegaConf.select(config, "reward.rvpo")
    if values is None:
        raise ConfigError(
            "reward.reward_manager.name=rvpo, but reward.rvpo names no rewards: use a preset "
            "(+rvpo=tool_calling) or +reward.rvpo.rewards.NAME.function=package.module:function; "
            "`rvpo-verl rewards` lists what is installed"
        )
    plain = OmegaConf.to_container(values, resolve=True) if OmegaConf.is_config(values) else values
    return parse(RewardsConfig, plain, "reward.rvpo")


def reward_workers(config: DictConfig) -> int:
    """Processes that score responses."""
    return int(OmegaConf.select(config, "reward.num_workers") or 1)


def scoring_metrics(rows: Sequence[RewardVector], rewards: RewardsConfig) -> dict[str, float]:
    """What the scoring of a batch has to report, beside the scores.

    Raises:
        RewardFailureError: too much of a reward failed.
    """
    metrics = {}
    for name, failures in failure_shares(rows, rewards).items():
        metrics[f"rvpo/{name}/failed"] = failures.share
        metrics |= {f"rvpo/{name}/failed/{kind}": share for kind, share in failures.by_kind.items()}
    return metrics | {f"rvpo/{name}/disagreement": value for name, value in disagreements(rows).items()}


def validate(config: DictConfig) -> None:
    """Refuses what could only fail, or train wrongly, later. Does nothing to a run without rvpo.

    Raises:
        ConfigError: with every complaint, what was given and what to write instead.
    """
    complaints = []
    for check in (_preset_found, _rewards, _reward_vectors, _no_kl_in_reward, _divided_by_std):
        try:
            check(config)
        except ConfigError as error:
            complaints += str(error).splitlines()
    if not complaints and not OFFLINE.get():
        complaints += _before_training(config)  # may ask other machines, so last
    if complaints:
        raise ConfigError("rvpo_verl: this configuration cannot train:\n  " + "\n  ".join(complaints))


def _before_training(config: DictConfig) -> list[str]:
    rewards = rewards_config(config)
    if rewards is None:
        return []
    from rvpo_verl.rewards.call import Scorer

    hosted = bool(OmegaConf.select(config, "reward.reward_model.enable"))
    try:
        Scorer(rewards).before_training(reward_workers=reward_workers(config), hosted=hosted)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _preset_found(config: DictConfig) -> None:
    preset = OmegaConf.select(config, "rvpo")
    if preset is not None:
        raise ConfigError(
            f"+rvpo={preset} became a plain key: Hydra did not find the config group, so none of the preset "
            "is in effect. Load the plugin before Hydra starts (VERL_USE_EXTERNAL_MODULES=rvpo_verl), or add "
            "hydra.searchpath=[pkg://rvpo_verl.conf]; the presets are default, paper, tool_calling and rubrics"
        )


def _rewards(config: DictConfig) -> None:
    rewards = rewards_config(config)
    if rewards is None:
        if OmegaConf.select(config, "reward.rvpo") is not None:
            manager = OmegaConf.select(config, "reward.reward_manager.name")
            raise ConfigError(
                f"reward.rvpo is set, but reward.reward_manager.name={manager} does not read it: "
                "set reward.reward_manager.name=rvpo, or leave reward.rvpo out"
            )
        return
    from rvpo_verl.rewards.call import Scorer

    Scorer(rewards)
    reward_model = config.reward.reward_model
    if reward_model.enable and not config.reward.custom_reward_function.path:
        raise ConfigError(
            "reward.reward_model.enable=True without a custom reward function: verl then asks the reward model "
            "alone and no reward manager. To have verl host the model as a judge, set "
            "reward.custom_reward_function.path (the rvpo manager does not call it)"
        )
    if reward_model.enable and not reward_model.enable_resource_pool and _is_v1(config):
        raise ConfigError(
            "reward.reward_model.enable_resource_pool=False: verl's V1 trainer scores with a colocated reward model "
            "after the rollout and gives the manager neither ground_truth nor data_source. Set "
            "reward.reward_model.enable_resource_pool=True, or trainer.use_v1=False"
        )


def _is_v1(config: DictConfig) -> bool:
    return bool(OmegaConf.select(config, "trainer.use_v1"))


def _reward_vectors(config: DictConfig) -> None:
    algorithm = config.algorithm
    settings = advantage_config(algorithm)
    if algorithm.adv_estimator != NAME:
        return
    manager = OmegaConf.select(config, "reward.reward_manager.name")
    if manager == NAME:
        if settings.reward_keys is not None:
            raise ConfigError(
                f"algorithm.rvpo.reward_keys={settings.reward_keys} goes with other reward managers; with "
                "reward.reward_manager.name=rvpo the rewards are those of reward.rvpo.rewards. Leave it out"
            )
        return
    if not vectors.reward_keys(settings, algorithm):
        raise ConfigError(
            "algorithm.adv_estimator=rvpo, but nothing yields several rewards: "
            f"reward.reward_manager.name={manager} gives one score. Use reward.reward_manager.name=rvpo with "
            "reward.rvpo.rewards (or a preset, +rvpo=tool_calling), or list in +algorithm.rvpo.reward_keys=[a,b] "
            "what your scoring function returns beside its score (algorithm.gdpo_reward_keys is read too)"
        )
    if config.reward.reward_model.enable and not config.reward.custom_reward_function.path:
        raise ConfigError(
            "reward.reward_model.enable=True without reward.custom_reward_function.path: verl then takes the "
            "reward model's one score and no reward_keys. Give a custom reward function, or disable the model"
        )


def _no_kl_in_reward(config: DictConfig) -> None:
    if config.algorithm.adv_estimator == NAME and config.algorithm.get("use_kl_in_reward", False):
        raise ConfigError(
            "algorithm.use_kl_in_reward=True never reaches rewards that are standardised one by one, so it would "
            "be ignored. Set it to False and use actor_rollout_ref.actor.use_kl_loss=True instead"
        )


def _divided_by_std(config: DictConfig) -> None:
    if config.algorithm.adv_estimator == NAME and not config.algorithm.get("norm_adv_by_std_in_grpo", True):
        raise ConfigError(
            "algorithm.norm_adv_by_std_in_grpo=False: rvpo compares rewards of different scales and always "
            "divides by their standard deviation. Leave it at True"
        )

"""Refuses a configuration that could only fail, or train wrongly, later. Pure: opens no file and no connection."""

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.attach.verl_config import (
    NAME,
    advantage_config,
    reward_keys,
    rewards_config,
    run_context,
    settings,
)
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.call import Scorer


def validate(config: DictConfig) -> None:
    """Does nothing to a run without rvpo.

    Raises:
        ConfigError: with all complaints, what was given and what to write instead.
    """
    complaints = []
    for check in (_preset_found, _rewards, _reward_model, _reward_vectors, _no_kl_in_reward, _divided_by_std):
        try:
            check(config)
        except ConfigError as error:
            complaints += str(error).splitlines()
    if complaints:
        raise ConfigError("rvpo_verl: this configuration cannot train:\n  " + "\n  ".join(complaints))


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
    if rewards is not None:
        Scorer(rewards).validate(run_context(config))
    elif OmegaConf.select(config, "reward.rvpo") is not None:
        manager = OmegaConf.select(config, "reward.reward_manager.name")
        raise ConfigError(
            f"reward.rvpo is set, but reward.reward_manager.name={manager} does not read it: "
            "set reward.reward_manager.name=rvpo, or leave reward.rvpo out"
        )


def _reward_model(config: DictConfig) -> None:
    reward_model = OmegaConf.select(config, "reward.reward_model")
    if rewards_config(config) is None or not reward_model.enable:
        return
    if not config.reward.custom_reward_function.path:
        raise ConfigError(
            "reward.reward_model.enable=True without a custom reward function: verl then asks the reward model "
            "alone and no reward manager. To have verl host the model as a judge, set "
            "reward.custom_reward_function.path (the rvpo manager does not call it)"
        )
    if not reward_model.enable_resource_pool and OmegaConf.select(config, "trainer.use_v1"):
        raise ConfigError(
            "reward.reward_model.enable_resource_pool=False: verl's V1 trainer scores with a colocated reward model "
            "after the rollout and gives the manager neither ground_truth nor data_source. Set "
            "reward.reward_model.enable_resource_pool=True, or trainer.use_v1=False"
        )


def _reward_vectors(config: DictConfig) -> None:
    algorithm = config.algorithm
    rvpo = advantage_config(algorithm)
    if algorithm.adv_estimator != NAME:
        return
    settings(rvpo)
    manager = OmegaConf.select(config, "reward.reward_manager.name")
    if manager == NAME:
        if rvpo.reward_keys is not None:
            raise ConfigError(
                f"algorithm.rvpo.reward_keys={rvpo.reward_keys} goes with other reward managers; with "
                "reward.reward_manager.name=rvpo the rewards are those of reward.rvpo.rewards. Leave it out"
            )
        return
    if not reward_keys(rvpo, algorithm):
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
            "algorithm.use_kl_in_reward=True never reaches rewards that are standardized one by one, so it would "
            "be ignored. Set it to False and use actor_rollout_ref.actor.use_kl_loss=True instead"
        )


def _divided_by_std(config: DictConfig) -> None:
    if config.algorithm.adv_estimator == NAME and not config.algorithm.get("norm_adv_by_std_in_grpo", True):
        raise ConfigError(
            "algorithm.norm_adv_by_std_in_grpo=False: rvpo compares rewards of different scales and always "
            "divides by their standard deviation. Leave it at True"
        )

"""Refuses a configuration that could only fail, or train wrongly, later. Pure: opens no file and no connection."""

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.attach.group_filter import DIGEST
from rvpo_verl.attach.reserved import names_of_verl
from rvpo_verl.attach.verl_config import (
    NAME,
    advantage_config,
    reward_keys,
    rewards_config,
    run_context,
    settings,
    unknown_arguments,
)
from rvpo_verl.config import ScheduleConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.call import Scorer


def validate(config: DictConfig) -> None:
    """Does nothing to a run without rvpo.

    Raises:
        ConfigError: with all complaints, what was given and what to write instead.
    """
    complaints = []
    for check in (
        _preset_found, _estimator_name, _rewards, _names, _reward_model, _other_scoring, _reward_vectors, _groups,
        _filter_groups, _no_critic_warmup, _no_kl_in_reward, _divided_by_std, _no_reweighting,
    ):  # fmt: skip
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


def _estimator_name(config: DictConfig) -> None:
    name = str(config.algorithm.adv_estimator)
    if name != NAME and name.lower() == NAME:
        raise ConfigError(f"algorithm.adv_estimator={name}: verl knows it as algorithm.adv_estimator={NAME}")


def _rewards(config: DictConfig) -> None:
    rewards = rewards_config(config)
    if rewards is not None:
        Scorer(rewards, without=unknown_arguments(config)).validate(run_context(config))
        scheduled = [name for name, weight in rewards.weights().items() if isinstance(weight, ScheduleConfig)]
        if scheduled and config.algorithm.adv_estimator != NAME:
            raise ConfigError(
                f"the weight of {', '.join(scheduled)} follows a schedule, but algorithm.adv_estimator="
                f"{config.algorithm.adv_estimator} trains on verl's scalar score, which has no step. Give numbers, or "
                f"set algorithm.adv_estimator={NAME}"
            )
    elif OmegaConf.select(config, "reward.rvpo") is not None:
        manager = OmegaConf.select(config, "reward.reward_manager.name")
        raise ConfigError(
            f"reward.rvpo is set, but reward.reward_manager.name={manager} does not read it: "
            "set reward.reward_manager.name=rvpo, or leave reward.rvpo out"
        )


def _names(config: DictConfig) -> None:
    rewards = rewards_config(config)
    keys = advantage_config(config.algorithm)
    names = rewards.names() if rewards else list(reward_keys(keys, config.algorithm))
    if not names or (rewards is None and config.algorithm.adv_estimator != NAME):
        return
    taken = [name for name in names if name in names_of_verl()]
    if taken:
        raise ConfigError(
            f"{', '.join(taken)}: verl puts something else into the batch by this name, which would replace the "
            "reward. Choose another name"
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


def _other_scoring(config: DictConfig) -> None:
    """Options of verl's own reward managers, which the rvpo manager does not read."""
    if rewards_config(config) is None:
        return
    complaints = []
    path = OmegaConf.select(config, "reward.custom_reward_function.path")
    if path and not config.reward.reward_model.enable:
        complaints.append(
            f"reward.custom_reward_function.path={path}: the rvpo manager calls the functions of reward.rvpo.rewards "
            f"and not this one. Add it as one of them, +reward.rvpo.rewards.NAME.function={path}:FUNCTION, or use "
            "another manager with algorithm.rvpo.reward_keys"
        )
    kwargs = OmegaConf.select(config, "reward.reward_kwargs") or {}
    if kwargs:
        complaints.append(
            f"reward.reward_kwargs={dict(kwargs)}: the rvpo manager does not read it. Arguments of a reward go into "
            "reward.rvpo.rewards.NAME.kwargs; an overlong buffer is the reward `length` with max_length and buffer"
        )
    if complaints:
        raise ConfigError("\n".join(complaints))


def _groups(config: DictConfig) -> None:
    size = OmegaConf.select(config, "actor_rollout_ref.rollout.n")
    if config.algorithm.adv_estimator == NAME and size is not None and size < 2:
        raise ConfigError(
            f"actor_rollout_ref.rollout.n={size}: rvpo compares the responses to one prompt, so that with a single one "
            "every advantage is 0. Set it to 4 or more (the paper has 4 for tool calling, 16 for rubrics)"
        )


def _filter_groups(config: DictConfig) -> None:
    options = OmegaConf.select(config, "algorithm.filter_groups")
    if config.algorithm.adv_estimator != NAME or not options or not options.get("enable"):
        return
    if not OmegaConf.select(config, "trainer.use_v1") or "rollout" in config:
        raise ConfigError(
            "algorithm.filter_groups.enable=True: only trainer V1 of verl 0.9 filters groups, others ignore it. Set "
            "it to False, or trainer.use_v1=True in verl.trainer.main_ppo"
        )
    metric = options.get("metric")
    if metric != DIGEST and (metric == "reward" or rewards_config(config) is not None):
        raise ConfigError(
            f"algorithm.filter_groups.metric={metric}: verl drops groups that do not vary in this one number, so that "
            "with a sum it drops groups whose rewards differ and add up alike, and with a single reward it fails "
            f"where that is missing. Set algorithm.filter_groups.metric={DIGEST}, a number by which it drops the "
            "groups in which no reward varies"
        )


def _no_critic_warmup(config: DictConfig) -> None:
    steps = OmegaConf.select(config, "trainer.critic_warmup") or 0
    if config.algorithm.adv_estimator == NAME and steps > 0:
        raise ConfigError(
            f"trainer.critic_warmup={steps}: rvpo has no critic, and verl would not update the policy in these steps "
            "either. Set it to 0"
        )


def _no_reweighting(config: DictConfig) -> None:
    if config.algorithm.adv_estimator == NAME and config.algorithm.get("use_pf_ppo", False):
        raise ConfigError(
            "algorithm.use_pf_ppo=True: verl reweights by its scalar score, and only for the estimator gae. Set it to "
            "False"
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

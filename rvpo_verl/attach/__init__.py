"""The attachment to verl: the only package, beside cpu/, that depends on verl's internals.

`register_hooks` names what runs when verl imports the modules concerned. Each hook then checks version and
layout of the installed verl. Hooks are given by name: every process that imports verl comes through here, and
few of them need a trainer's hook and all that it imports.

    hooks.py                   running a hook after an import; replacing a function of verl, once checked
    presets.py, startup.py     Hydra presets; validation before anything is loaded
    verl_config.py             what is read of verl's configuration
    validation.py, probe.py    refusing what cannot train; asking the services of rewards once
    group_filter.py            verl's filter of groups, for reward vectors
    reserved.py                names that verl puts into the batch itself
    registries.py, manager.py  verl's registries; its reward manager `rvpo`
    agent_loop.py, sample.py   what verl knows of a rollout and does not tell its reward managers; what rewards get
    tool_parser.py             verl's tool parser `rlla`
    adapter.py                 from a batch of verl to advantages and metrics: one way for all trainers
    estimator.py               the estimator `rvpo` as verl calls it, and how the rewards reach it
    v0.py, v1.py               the trainers; native_api.py: a verl with one of `patches/`
    compose.py, doctor.py      what plan and doctor ask of verl
"""

from rvpo_verl.attach.hooks import Attachment, on_import, report

__all__ = ["Attachment", "register_hooks", "report"]


def register_hooks() -> None:
    """Attaches to verl as its modules are imported, and at once to those that are. Harmless when repeated.

    Raises:
        UnsupportedVerlError: verl is imported, and is a version outside of the supported range.
    """
    on_import("verl", "rvpo_verl.attach.hooks:check_version")
    on_import("hydra.core.plugins", "rvpo_verl.attach.presets:register_search_path")
    on_import("verl.utils.config", "rvpo_verl.attach.startup:validate_early")
    on_import("verl.experimental.reward_loop", "rvpo_verl.attach.startup:validate_in_driver")
    on_import("verl.trainer.ppo.core_algos", "rvpo_verl.attach.registries:register_estimator")
    on_import("verl.experimental.reward_loop.reward_manager", "rvpo_verl.attach.registries:register_manager")
    on_import("verl.experimental.agent_loop.agent_loop", "rvpo_verl.attach.agent_loop:attach_worker")
    on_import("verl.experimental.agent_loop.tool_parser", "rvpo_verl.attach.tool_parser:register")
    on_import("verl.trainer.ppo.ray_trainer", "rvpo_verl.attach.v0:attach_trainer")
    on_import("verl.experimental.separation.ray_trainer", "rvpo_verl.attach.v0:attach_separation")
    on_import("verl.experimental.fully_async_policy.detach_utils", "rvpo_verl.attach.v1:attach_metrics")
    on_import("verl.trainer.ppo.v1.utils", "rvpo_verl.attach.v1:attach_metrics")
    on_import("verl.trainer.ppo.v1.trainer_base", "rvpo_verl.attach.v1:attach_trainer")
    on_import("verl.trainer.main_ppo_sync", "rvpo_verl.attach.v1:attach_trainer")
    on_import("verl.trainer.main_ppo", "rvpo_verl.attach.v1:attach_script")

"""The attachment to verl: the only room that knows verl's internals.

`attach` registers hooks that run when verl imports the modules concerned, checks each seam against the
installed version as it does, and can be called any number of times. Hooks are given by name: every process
that imports verl comes through here, and few of them need a trainer's hook and all that it imports.
"""

import os
import sys
import traceback

from rvpo_verl.attach.hooks import Attachment, on_import, report, require_supported_version

__all__ = ["Attachment", "attach", "attach_loudly", "report"]


def attach() -> None:
    """Attaches to the installed verl.

    Raises:
        UnsupportedVerlError: a version outside the supported range.
    """
    require_supported_version()
    on_import("hydra.core.plugins", "rvpo_verl.attach.early:register_search_path")
    on_import("verl.utils.config", "rvpo_verl.attach.early:validate_early")
    on_import("verl.experimental.reward_loop", "rvpo_verl.attach.early:validate_in_driver")
    on_import("verl.trainer.ppo.core_algos", "rvpo_verl.attach.registries:register_estimator")
    on_import("verl.experimental.reward_loop.reward_manager", "rvpo_verl.attach.registries:register_manager")
    on_import("verl.trainer.ppo.ray_trainer", "rvpo_verl.attach.v0:attach_trainer")
    on_import("verl.experimental.separation.ray_trainer", "rvpo_verl.attach.v0:attach_separation")
    on_import("verl.experimental.fully_async_policy.detach_utils", "rvpo_verl.attach.v1:attach_metrics")
    on_import("verl.trainer.ppo.v1.utils", "rvpo_verl.attach.v1:attach_metrics")
    on_import("verl.trainer.ppo.v1.trainer_base", "rvpo_verl.attach.v1:attach_trainer")
    on_import("verl.trainer.main_ppo_sync", "rvpo_verl.attach.v1:attach_trainer")
    on_import("verl.trainer.main_ppo", "rvpo_verl.attach.v1:attach_script")
    if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
        from rvpo_verl import cpu

        cpu.activate()


def attach_loudly() -> None:
    """`attach`, made visible: verl logs a plugin that fails to load at DEBUG and trains on without it."""
    try:
        attach()
    except Exception:
        sys.stderr.write(f"rvpo_verl could not attach to verl:\n{traceback.format_exc()}\n")
        if any("rvpo" in argument for argument in sys.argv[1:]):
            raise SystemExit("rvpo_verl: not training, because this command asks for rvpo") from None
        raise

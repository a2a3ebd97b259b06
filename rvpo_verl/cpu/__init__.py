"""The embedded backend: verl's unmodified launcher on a bare CPU machine, for the demo and the tests.

Active only with `VERL_PLATFORM=cpu`, in every process of the run. It gives verl what release 0.9 lacks there:
a `cpu` platform, and a rollout engine `hf` on `transformers.generate`.
"""

from rvpo_verl.attach.seams import on_import


def activate() -> None:
    """Registers platform and rollout engine as verl imports the modules concerned."""
    on_import("verl.plugin.platform", "rvpo_verl.cpu.platform:register_platform")
    on_import("verl.utils.distributed", "rvpo_verl.cpu.platform:gloo_alone")
    on_import("verl.workers.engine.fsdp.transformer_impl", "rvpo_verl.cpu.platform:nothing_to_pin")
    on_import("verl.workers.rollout.base", "rvpo_verl.cpu.platform:register_adapter")
    on_import("verl.workers.rollout.replica", "rvpo_verl.cpu.platform:register_replica")

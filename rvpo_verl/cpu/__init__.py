"""The embedded backend: verl's unmodified launcher on a bare CPU machine, for the demo and the tests.

Active only with `VERL_PLATFORM=cpu`, in every process of the run. It gives verl what release 0.9 lacks there:
a `cpu` platform, a rollout engine `hf` on `transformers.generate`, and what `vllm` needs to run there.
"""

from rvpo_verl.attach.hooks import on_import


def activate() -> None:
    """Registers platform and rollout engines as verl imports the modules concerned."""
    from rvpo_verl.cpu.vllm import answer_to_vllm

    on_import("verl.plugin.platform", "rvpo_verl.cpu.platform:register_platform")
    on_import("verl.utils.distributed", "rvpo_verl.cpu.platform:gloo_alone")
    on_import("verl.workers.engine.fsdp.transformer_impl", "rvpo_verl.cpu.platform:nothing_to_pin")
    on_import("verl.workers.rollout.base", "rvpo_verl.cpu.platform:register_adapter")
    on_import("verl.workers.rollout.replica", "rvpo_verl.cpu.platform:register_replica")
    on_import("vllm.model_executor.layers.utils", "rvpo_verl.cpu.vllm:keep_weights_plain")
    answer_to_vllm()

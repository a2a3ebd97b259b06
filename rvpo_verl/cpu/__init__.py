"""The CPU backend: verl's unmodified launcher on a machine without an accelerator, for the demo and the tests.

verl imports this package through the entry point `rvpo_cpu`, or `VERL_USE_EXTERNAL_MODULES=rvpo_verl,rvpo_verl.cpu`.
With `VERL_PLATFORM=cpu`, which every process of a run needs, it registers what verl 0.9 lacks on a CPU: a platform
`cpu`, a rollout engine `hf` on `transformers.generate`, and what the engine `vllm` needs there. Without that
variable the import has no effect. It imports neither verl nor torch.
"""

import os

from rvpo_verl.attach.hooks import on_import
from rvpo_verl.cpu.vllm import alias_vllm_distribution


def _register_hooks() -> None:
    on_import("verl.plugin.platform", "rvpo_verl.cpu.platform:register_platform")
    on_import("verl.utils.distributed", "rvpo_verl.cpu.platform:use_gloo_only")
    on_import("verl.workers.engine.fsdp.transformer_impl", "rvpo_verl.cpu.platform:disable_pinned_memory")
    on_import("verl.workers.rollout.base", "rvpo_verl.cpu.platform:register_adapter")
    on_import("verl.workers.rollout.replica", "rvpo_verl.cpu.platform:register_replica")
    on_import("vllm.model_executor.layers.utils", "rvpo_verl.cpu.vllm:disable_weight_packing")
    alias_vllm_distribution()


if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
    _register_hooks()

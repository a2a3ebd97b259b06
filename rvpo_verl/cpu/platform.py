"""verl's `cpu` platform, and the places where verl 0.9 assumes an accelerator."""

import os
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import torch

from rvpo_verl.attach.hooks import seam, wrap

ROLLOUT = "hf"


def _ignore(self: Any, *args: Any, **kwargs: Any) -> None:
    """An operation on an accelerator that a CPU does not need."""


class CpuDevice(ModuleType):
    """`torch.cpu` with the calls that verl makes on `torch.cuda`."""

    def __init__(self) -> None:
        super().__init__("torch.cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def __eq__(self, other: object) -> bool:
        return other is self or other is torch.cpu  # verl tests `device == torch.cpu`

    __hash__ = ModuleType.__hash__

    def is_available(self) -> bool:
        return False  # verl then reports no accelerator memory

    def get_device_name(self, device: Any = None) -> str:
        return "CPU"

    set_device = synchronize = empty_cache = reset_peak_memory_stats = _ignore

    def memory_allocated(self, device: Any = None) -> int:
        return 0

    memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated

    # Checkpoints hold the random state of every device.
    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


def register_platform(module: Any) -> str:
    """Register platform `cpu` with verl."""
    seam(module.PlatformRegistry, "register", ("platform",))
    # verl registers its training engines for accelerators only; the one for CUDA runs on a CPU.
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    device = CpuDevice()

    class CpuPlatform(module.PlatformBase):  # type: ignore[misc]  # a class of the verl that is installed
        device_name = property(lambda self: "cpu")
        vendor_name = property(lambda self: "cpu")
        device_module = property(lambda self: device)

        def is_available(self) -> bool:
            return True

        def is_platform_available(self, use_smi_check: bool = False) -> bool:
            return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"  # never by auto-detection

        def current_device(self) -> torch.device:
            return torch.device("cpu")  # an index would mean an accelerator in `tensor.to(...)`

        def device_count(self) -> int:
            return 1

        def manual_seed(self, seed: int) -> None:
            torch.manual_seed(seed)

        manual_seed_all = manual_seed

        set_device = synchronize = empty_cache = set_allocator_settings = _ignore
        profiler_start = profiler_stop = cudart = _ignore

        def nvtx_range(self, msg: str) -> nullcontext[None]:
            return nullcontext()

        def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
            return None, None

        def communication_backend_name(self) -> str:
            return "gloo"

        def visible_devices_envvar(self) -> str:
            return "CUDA_VISIBLE_DEVICES"

        def ray_resource_name(self) -> str:
            return "GPU"  # logical ones, from `ray_init.num_gpus`: verl's resource pools count no CPUs

        def ray_noset_envvars(self) -> list[str]:
            return []

        def is_ipc_supported(self) -> bool:
            return False

    module.PlatformRegistry.register(platform="cpu")(CpuPlatform)
    return "platform 'cpu'"


def use_gloo_only(module: ModuleType) -> str:
    """Ask for the backend "cpu:gloo". verl asks for "cpu:gloo,cpu:gloo", which torch rejects as a duplicate."""

    def initialize(original: Any, timeout_second: int | None = None, backend: str | None = None) -> Any:
        return original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    wrap(module, "initialize_global_process_group_ray", ("timeout_second", "backend"), initialize)
    return "process group on gloo"


def disable_pinned_memory(module: Any) -> str:
    """Offload the reference policy without pinned memory, which needs an accelerator."""
    offload_policy = seam(module, "CPUOffloadPolicy", ("pin_memory",))
    module.CPUOffloadPolicy = lambda pin_memory=False: offload_policy(pin_memory=False)
    return "offload without pinned memory"


def register_replica(module: ModuleType) -> str:
    """Register the rollout engine's servers with verl."""
    seam(module.RolloutReplicaRegistry, "register", ("name", "loader"))

    def load() -> type:
        from rvpo_verl.cpu.rollout import TransformersReplica

        return TransformersReplica

    module.RolloutReplicaRegistry.register(ROLLOUT, load)
    return f"rollout engine {ROLLOUT!r}"


def register_adapter(module: ModuleType) -> str:
    """Register the training workers' side of the rollout engine. verl 0.9 has no public function for it."""
    module._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "rvpo_verl.cpu.rollout.TransformersAdapter"
    return f"weight updates for rollout engine {ROLLOUT!r}"

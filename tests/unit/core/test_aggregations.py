"""What an aggregation has to do, whoever wrote it, and how a user's own is found."""

import re
import sys

import numpy as np
import pytest
import torch

from rvpo_verl.attach.verl_config import advantage_config, settings
from rvpo_verl.core import AggregationContext, RewardBatch, Settings, compute
from rvpo_verl.core.aggregations import available, find, shares, softmin
from rvpo_verl.errors import ConfigError
from tests.support.paths import ROOT

Z_BM = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
WEIGHT_BM = torch.softmax(torch.randn(20, 5, generator=torch.Generator().manual_seed(1)).double(), dim=1)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Writes a module that can be imported, as a user's own package is."""

    def write(code):
        (tmp_path / "own_aggregation.py").write_text(f"import torch\n{code}")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "own_aggregation", raising=False)
        return "own_aggregation:own"

    return write


def test_the_built_in_aggregations_are_entry_points_like_any_other():
    assert set(available()) >= {"softmin", "mean", "min", "variance"}
    assert find("softmin") is softmin


@pytest.mark.parametrize("name", ["softmin", "mean", "min", "variance"])
def test_shares_are_the_gradient(name):
    aggregation, context = find(name), AggregationContext(1.5, 0.3)
    z_BM = Z_BM.clone().requires_grad_()
    aggregation(z_BM, WEIGHT_BM, context).sum().backward()
    np.testing.assert_allclose(shares(aggregation, Z_BM, WEIGHT_BM, context), z_BM.grad, atol=1e-12)


def test_a_users_aggregation_decides_the_advantages(user_module):
    name = user_module("def own(z, w, context):\n    return (w * z).sum(1) * context.k\n")
    batch = RewardBatch(torch.rand(8, 3), torch.arange(8) // 4, torch.ones(8))
    config = advantage_config({"rvpo": {"aggregation": name, "k": 3.0, "whitening": "none"}})
    own = compute(batch, settings(config))
    mean = compute(batch, Settings(aggregation=find("mean"), whitening="none"))
    torch.testing.assert_close(own.advantages_B, 3 * mean.advantages_B)
    assert own.metrics["rvpo/k"] == 3.0
    assert own.metrics["rvpo/1/weight"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def own(z, w):\n    return z.sum(1)", "cannot be called: too many positional arguments"),
        ("def own(z, w, context):\n    return z", "returned tensor"),
        ("def own(z, w, context):\n    return (w * z).sum(1) / w.sum(1)", "0 for a response without rewards"),
        ("def own(z, w, context):\n    return z.sum(1).tolist()", "one finite value for each response"),
        ("def own(z, w, context):\n    return z @ w", "failed on an example of three responses"),
        ("own = 3", "cannot be called"),
        ("", "has no attribute 'own'"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
    ],
    ids=["signature", "shape", "not finite", "no tensor", "raises", "no function", "absent", "import"],
)
def test_what_is_no_aggregation_is_refused_before_training(user_module, code, said):
    config = advantage_config({"rvpo": {"aggregation": user_module(code)}})
    with pytest.raises(ConfigError, match=r"algorithm\.rvpo\.aggregation='own_aggregation:own'") as refusal:
        settings(config)
    assert said in str(refusal.value)


def test_an_unknown_name_is_refused_with_those_installed():
    with pytest.raises(ConfigError, match=r"did you mean 'softmin'\?.*accepted: .*mean, min, softmin"):
        settings(advantage_config({"rvpo": {"aggregation": "sotfmin"}}))


def test_the_example_of_the_docs_drops_responses_whose_rewards_disagree(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "aggregations.md").read_text()
    (code,) = re.findall(r"```python\n# my_package/aggregations.py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "gd2po_example.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    options = {"aggregation": "gd2po_example:gd2po_hard", "center_groups": False, "whitening": "none"}
    config = advantage_config({"rvpo": options})
    rewards_BM = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    batch = RewardBatch(rewards_BM, torch.zeros(4, dtype=torch.long), torch.ones(4))
    z = 0.5 / (1 / 3) ** 0.5
    np.testing.assert_allclose(compute(batch, settings(config)).advantages_B, [z, 0, -z, 0], atol=1e-5)

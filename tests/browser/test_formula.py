"""The equations in the page against those that train."""

import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from rvpo_verl.core import RewardBatch, Settings, aggregations, compute
from rvpo_verl.core.aggregations import AggregationContext, shares
from rvpo_verl.report import page
from rvpo_verl.report.content import gather
from rvpo_verl.report.read import RunFiles
from rvpo_verl.rewards.vector import RewardVector

pytestmark = pytest.mark.browser

SETTINGS: list[dict[str, Any]] = [
    {"aggregation": aggregation, "k": k, "beta": 0.7, "constant_rewards": constant} | rest
    for aggregation in ("softmin", "mean", "min", "variance")
    for k in ((0.0, 1e-4, 0.5, 2.0, 30.0, math.inf) if aggregation == "softmin" else (2.0,))
    for constant, rest in (
        ("keep", {"bonus": 0.0, "center_groups": True}), ("drop", {"bonus": 0.5, "center_groups": False})
    )
]  # fmt: skip
MUTATIONS = {
    "deviation of the population": ("Math.max(values.length - 1, 1)", "Math.max(values.length, 1)"),
    "no epsilon": ("(deviation + eps)", "deviation"),
    "wrong sign of the soft minimum": ("low - Math.log1p(below)", "low + Math.log1p(below)"),
    "k forgotten": ("Math.log1p(below) / settings.k", "Math.log1p(below)"),
    "weights not normalized": ("weight / (total > 0 ? total : 1)", "weight"),
    "missing counts as zero": ("value !== null && Number.isFinite(value)", "true"),
    "constant rewards have noise": ("if (!isConstant) z[i][j]", "z[i][j]"),
    "not centered": ("? centered(aggregated, takesPart)", "? aggregated"),
    "another score": ("(score - center) / (deviation + 1e-6)", "score - center"),
    "no bonus": ("settings.bonus * bonus(row, weight[i])", "0"),
}


def groups(count=12, seed=0):
    """Rewards as the page has them: missing, constant, constant up to rounding, weighted; of 1 to 9 answers."""
    generator = random.Random(seed)
    for number in range(count):
        size, rewards = generator.randint(1, 9), generator.randint(1, 6)
        kinds = [generator.choice(["binary", "real", "constant", "rounded"]) for _ in range(rewards)]
        values = {
            "binary": lambda: float(generator.random() < 0.4), "real": lambda: generator.gauss(0, 3),
            "constant": lambda: 0.1 + 0.2, "rounded": lambda: generator.choice([0.1 + 0.2, 0.3]),
        }  # fmt: skip
        rows = [
            [None if generator.random() < 0.15 else values[kind]() for kind in kinds] for _ in range(size)
        ]
        weights = [generator.choice([1.0, 0.5, 2.0, 0.0 if number % 3 else 1.0]) for _ in kinds]
        yield {
            "rewards": rows,
            "weights": [weights] * size,
            "scores": [float(generator.randint(-2, 3)) for _ in range(size)],
        }


def in_python(group, given):
    """The same from the modules that train."""
    names = [str(place) for place in range(len(group["rewards"][0]))]
    vectors = [
        RewardVector(dict(zip(names, row, strict=True)), dict(zip(names, weights, strict=True)))
        for row, weights in zip(group["rewards"], group["weights"], strict=True)
    ]
    size = len(vectors)
    batch = RewardBatch.from_vectors(vectors, np.zeros(size), torch.ones(size))
    settings = Settings(**{**given, "aggregation": aggregations.find(given["aggregation"])}, whitening="none")
    result = compute(batch, settings)
    steps, z_BM = result.steps, result.steps.standardized.z_BM
    context = AggregationContext(settings.k, settings.beta)
    mean = Settings(
        aggregation=aggregations.mean, constant_rewards=settings.constant_rewards, whitening="none"
    )
    scores = torch.tensor(group["scores"], dtype=torch.float64)[:, None]
    grpo, _ = compute_grpo_outcome_advantage(scores, torch.ones_like(scores), np.zeros(size))
    return {
        "z": z_BM, "weight": steps.weight_BM, "aggregate": steps.aggregate_B, "advantage": result.advantages_B,
        "share": shares(settings.aggregation, z_BM, steps.weight_BM, context),
        "gdpo": compute(batch, mean).advantages_B,
        "grpo": grpo[:, 0] if size > 1 else torch.zeros(1),  # verl leaves the score of a single answer as it is
        "reward_variance": torch.tensor(result.metrics["rvpo/reward_variance"], dtype=torch.float64),
    }  # fmt: skip


def differences(browser, cases):
    """Names of what differs between page and Python."""
    given = json.dumps(cases).replace("Infinity", '"Infinity"')
    computed = browser.execute_script(
        "return JSON.parse(arguments[0]).map(([group, settings]) => "
        "formula.compute(group, {...settings, k: Number(settings.k)}))",
        given,
    )
    wrong = set()
    for (group, settings), found in zip(cases, computed, strict=True):
        there = [
            row for row, takes_part in zip(found["variance"], found["takesPart"], strict=True) if takes_part
        ]
        found["reward_variance"] = sum(there) / max(len(there), 1)
        for name, expected in in_python(group, settings).items():
            actual = torch.from_numpy(np.array(found[name], dtype=float))  # NaN arrives as None
            if not torch.allclose(actual, expected.double(), rtol=1e-9, atol=1e-11):
                wrong.add(name)
    return wrong


@pytest.fixture
def blank(tmp_path, open_page, monkeypatch):
    """Opens a page without a run, in which a part of the formula may be replaced."""

    def blank(old="", new=""):
        assets = page._asset
        assert old in assets("formula.js")
        monkeypatch.setattr(
            page, "_asset", lambda *names: assets(*names).replace(old, new) if old else assets(*names)
        )
        path = tmp_path / "page.html"
        path.write_text(page.render(gather([RunFiles("none")]), "none"))
        return open_page(path)

    return blank


def cases():
    return [(group, settings) for group in groups() for settings in SETTINGS]


def test_the_page_computes_what_the_training_computes(blank):
    assert differences(blank(), cases()) == set()


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_wrong_formula_is_noticed(blank, mutation):
    assert differences(blank(*mutation), cases()) != set()

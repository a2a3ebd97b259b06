"""Methods are settings of the project's estimator; the values of the experiment's aggregations are derived by hand."""

import math

import pytest
import torch
from experiment import variants
from experiment.methods import METHODS, compute

from rvpo_verl.core import AggregationContext, RewardBatch, Settings
from rvpo_verl.core import compute as core_compute
from rvpo_verl.core.advantage import success_bonus
from rvpo_verl.core.aggregations import find, mean, minimum, softmin, variance

GROUP = 4


def batch(runs=3, answers=16, rewards=5):
    g = torch.Generator().manual_seed(1)
    rewards_RNM = torch.randint(0, 3, (runs, answers, rewards), generator=g).float()
    return rewards_RNM, torch.randint(1, 9, (runs, answers), generator=g).float()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gdpo", Settings(aggregation=mean, center_groups=False)),
        ("k2", Settings(k=2.0, center_groups=False)),
        ("k5+c", Settings(k=5.0)),
        ("k2+c+drop", Settings(constant_rewards="drop")),
        ("guarded5", Settings(k=5.0, bonus=1.0)),
        ("min", Settings(aggregation=minimum, center_groups=False)),
        ("variance", Settings(aggregation=variance, beta=1.0, center_groups=False)),
        ("rising", Settings(k=0.5 + 1.5 * 2 / 9, center_groups=False)),
        ("falling", Settings(k=2.0 - 1.5 * 2 / 9, center_groups=False)),
    ],
)
def test_a_method_gives_each_run_the_projects_advantage_with_its_settings(name, settings):
    rewards, length = batch()
    rewards[0, :GROUP] = 1.0  # a constant group
    actual = compute(METHODS[name], rewards, length, GROUP, 3, 10)
    for run in range(3):
        expected = core_compute(
            RewardBatch(rewards[run], torch.arange(16) // GROUP, length[run]), settings, 3, 10
        )
        torch.testing.assert_close(actual.advantage_RN[run], expected.advantages_B.float())
        shares = [expected.metrics[f"rvpo/{reward}/constant_groups"] for reward in range(5)]
        assert actual.constant_RM[run].tolist() == pytest.approx(shares)
        if "rvpo/k" in expected.metrics:
            assert actual.k_R[run] == pytest.approx(expected.metrics["rvpo/k"])


def test_every_aggregation_of_the_experiment_is_one_that_a_training_can_use():
    own = [m.settings.aggregation for m in METHODS.values()]
    own = {function.__name__ for function in own if function.__module__ == variants.__name__}
    assert own == {"mixed", "softmin_with_bonus", "guarded_bonus", "averse_to_loss", "mean_with_tail"}
    for name in own:
        assert find(f"experiment.variants:{name}") is getattr(variants, name)


def test_grpo_standardizes_the_sum_of_the_rewards():
    rewards, length = batch(runs=1)
    total = rewards[0].sum(dim=1).view(-1, GROUP)
    expected = (total - total.mean(dim=1, keepdim=True)) / (total.std(dim=1, keepdim=True) + 1e-6)
    actual = compute(METHODS["grpo"], rewards, length, GROUP, 1, 10).advantage_RN[0]
    torch.testing.assert_close(actual.view(-1, GROUP), expected)


def test_share_of_constant_groups_is_counted_for_each_reward():
    rewards = torch.tensor([[1.0, 0], [1, 1], [0, 1], [1, 1]])[None]
    constant = compute(METHODS["gdpo"], rewards, torch.ones(1, 4), 2, 1, 1).constant_RM
    assert constant.tolist() == [[0.5, 0.5]]


def lone(value, M=6):
    """One reward at `value`, the others constant."""
    z = torch.zeros(1, M, dtype=torch.float64)
    z[0, 0] = value
    return z, torch.full_like(z, 1 / M), AggregationContext(2.0)


def test_the_tail_leaves_rare_successes_to_the_mean_and_adds_to_rare_failures_alone():
    # M = 6, G = 8: a lone success or failure has Z = +-7 / sqrt(8).
    z = 7 / math.sqrt(8)
    success = variants.mean_with_tail(*lone(z))
    failure = variants.mean_with_tail(*lone(-z))
    even = variants.mean_with_tail(*lone(-0.94))
    assert success.item() == pytest.approx(z / 6)
    assert failure.item() == pytest.approx(-z / 6 - math.log((math.exp(2 * (z - 1)) + 5) / 6) / 2)
    assert even.item() == pytest.approx(-0.94 / 6)


def test_the_bonus_lifts_the_cap_of_a_lone_success():
    z = 7 / math.sqrt(8)
    cap = -math.log((math.exp(-2 * z) + 5) / 6) / 2
    assert cap == pytest.approx(0.09, abs=0.005)
    assert variants.softmin_with_bonus(*lone(z)).item() == pytest.approx(cap + z - 1.5)
    assert variants.softmin_with_bonus(*lone(1.2)).item() < math.log(6 / 5) / 2


def test_the_guarded_bonus_is_the_projects_with_its_bounds():
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    equal = torch.full_like(z, 1 / 6)
    expected = softmin(z, equal, AggregationContext(2.0)) + success_bonus(z, equal)
    actual = variants.guarded_bonus(z, equal, AggregationContext(2.0), above=1.0, full=0.0, none=-1.0)
    torch.testing.assert_close(actual, expected)


def test_aversion_grows_from_the_mean_to_the_soft_minimum_with_the_loss():
    soft = -math.log((math.exp(2) + 5) / 6) / 2
    full = variants.averse_to_loss(*lone(-1.0)).item()
    half = variants.averse_to_loss(*lone(-0.5)).item()
    soft_half = -math.log((math.exp(1) + 5) / 6) / 2
    assert full == pytest.approx(soft)
    assert half == pytest.approx((-0.5 / 6 + soft_half) / 2)
    assert variants.averse_to_loss(*lone(2.0)).item() == pytest.approx(2 / 6)


def test_the_mixture_lies_between_mean_and_soft_minimum():
    mixed = variants.mixed(*lone(2.0)).item()
    soft = -math.log((math.exp(-4) + 5) / 6) / 2
    assert mixed == pytest.approx((2 / 6 + soft) / 2)


def test_effective_share_of_equal_rewards_is_one_and_of_a_lone_deficit_little():
    members = torch.ones(1, 4, dtype=torch.bool)
    assert variants.effective_share(torch.zeros(1, 4).double(), members, 2.0) == pytest.approx(1.0)
    assert variants.effective_share(torch.tensor([[-50.0, 0, 0, 0]]).double(), members, 2.0) == pytest.approx(
        0.25
    )


def test_constant_rewards_do_not_count_for_the_effective_share():
    z = torch.tensor([[-1.0, 1.0, 0.0, 0.0]]).double()
    varies = torch.tensor([[True, True, False, False]])
    two = variants.effective_share(z[:, :2], varies[:, :2], 2.0)
    assert variants.effective_share(z, varies, 2.0) == pytest.approx(two.item())


def test_adaptive_k_holds_the_target_and_its_bounds():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(200, 6, generator=g).double()
    members = torch.ones(200, 6, dtype=torch.bool)
    k = variants.adaptive_k(z, members, target=0.6, halvings=20)
    assert variants.effective_share(z, members, k) == pytest.approx(0.6, abs=1e-3)
    assert variants.adaptive_k(z, ~members, target=0.6, halvings=20) == pytest.approx(8.0, rel=1e-3)
    assert variants.adaptive_k(100 * z, members, target=0.6, halvings=20) == pytest.approx(0.25, rel=1e-3)


def test_reliability_is_one_for_equal_verdicts_and_none_for_unrelated_ones():
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 4000, 1, generator=g)
    assert variants.reliability(first, first, 500).item() == pytest.approx(1.0)
    assert variants.reliability(first, second, 500).item() < 0.1
    # True score and error of equal variance: r = 1/2, and 2r / (1 + r) = 2/3 for the mean of both.
    truth = torch.randn(4000, 1, generator=g)
    assert variants.reliability(truth + first, truth + second, 500).item() == pytest.approx(2 / 3, abs=0.04)


def test_shrinking_takes_two_verdicts():
    rewards, length = batch(runs=1)
    with pytest.raises(ValueError, match="two verdicts"):
        compute(METHODS["k2+c+shrink"], rewards, length, GROUP, 1, 10)

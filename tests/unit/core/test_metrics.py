"""Metrics of a small batch, derived by hand, and the names that verl reduces rightly."""

import math

import pytest
import torch

from tests.support.metrics import metrics_of

NAN = math.nan


def test_raw_rewards_are_described_over_those_present():
    metrics = metrics_of([[0, 1], [1, NAN], [1, 3], [0, 3]], [0, 0, 1, 1])
    assert metrics["rvpo/easy/mean"] == 0.5
    assert metrics["rvpo/easy/std"] == pytest.approx(math.sqrt(1 / 3))
    assert metrics["rvpo/hard/mean"] == pytest.approx(7 / 3)
    assert metrics["rvpo/easy/missing"] == 0
    assert metrics["rvpo/hard/missing"] == 0.25


def test_constant_groups_are_counted_for_each_reward_and_altogether():
    metrics = metrics_of([[0, 1], [1, 1], [5, 3], [5, 3]], [0, 0, 1, 1])
    assert metrics["rvpo/easy/constant_groups"] == 0.5
    assert metrics["rvpo/hard/constant_groups"] == 1.0
    assert metrics["rvpo/constant_groups/share"] == 0.5


def test_the_bottleneck_is_the_lowest_z_and_a_tie_is_shared():
    # One group, Z of easy +a, -a; of hard -a, +a: each is the lowest once.
    metrics = metrics_of([[1, 0], [0, 1]], [0, 0])
    assert metrics["rvpo/easy/bottleneck"] == metrics["rvpo/hard/bottleneck"] == 0.5
    metrics = metrics_of([[1, 1], [0, 0]], [0, 0])
    assert metrics["rvpo/easy/bottleneck"] == metrics["rvpo/hard/bottleneck"] == 0.5
    # hard varies more rarely: its constant Z = 0 lies under easy's positive Z, over its negative.
    metrics = metrics_of([[1, 7], [0, 7]], [0, 0])
    assert metrics["rvpo/easy/bottleneck"] == metrics["rvpo/hard/bottleneck"] == 0.5


def test_responses_whose_rewards_are_all_constant_have_no_bottleneck():
    metrics = metrics_of([[1, 1], [1, 1]], [0, 0])
    assert metrics["rvpo/easy/bottleneck"] == metrics["rvpo/hard/bottleneck"] == 0


def test_softmin_weight_says_how_much_a_reward_decides():
    z = 2**-0.5
    weight = math.exp(2 * z) / (math.exp(2 * z) + math.exp(-2 * z))
    metrics = metrics_of([[1, 0], [0, 1]], [0, 0], eps=0)
    assert metrics["rvpo/easy/weight"] == pytest.approx((weight + 1 - weight) / 2)
    metrics = metrics_of([[1, 7], [0, 7]], [0, 0], eps=0)
    up, down = (1 / (1 + math.exp(sign * 2 * z)) for sign in (1, -1))
    assert metrics["rvpo/easy/weight"] == pytest.approx((up + down) / 2)


def test_distance_below_the_mean_and_variance_between_rewards():
    z = 2**-0.5
    metrics = metrics_of([[1, 0], [0, 1]], [0, 0], eps=0)
    assert metrics["rvpo/reward_variance"] == pytest.approx(z**2)
    assert metrics["rvpo/below_mean"] == pytest.approx(math.log(math.cosh(2 * z)) / 2)
    assert metrics_of([[1, 0], [0, 1]], [0, 0], k=None, aggregation="mean")["rvpo/below_mean"] == 0


def test_advantage_of_constant_groups_is_what_centering_removes():
    generator = torch.Generator().manual_seed(0)
    rewards = torch.randint(0, 2, (64, 2), generator=generator).double()
    rewards[:8] = 1.0
    groups = [row // 8 for row in range(64)]
    assert metrics_of(rewards.tolist(), groups)["rvpo/constant_groups/advantage"] == pytest.approx(
        0, abs=1e-9
    )
    uncentered = metrics_of(rewards.tolist(), groups, center_groups=False)
    assert uncentered["rvpo/constant_groups/advantage"] > 0.3


def test_k_is_logged_where_there_is_one():
    assert metrics_of([[1, 0], [0, 1]], [0, 0], k=1.5)["rvpo/k"] == 1.5
    assert "rvpo/k" not in metrics_of([[1, 0], [0, 1]], [0, 0], k=None, aggregation="min")


def test_a_batch_without_any_reward_has_metrics_too():
    metrics = metrics_of([[NAN, NAN]] * 2, [0, 0])
    assert metrics["rvpo/easy/missing"] == metrics["rvpo/hard/missing"] == 1
    assert math.isnan(metrics["rvpo/easy/mean"])
    assert metrics["rvpo/constant_groups/share"] == 0


def test_padding_is_in_no_metric():
    rewards = [[0.0, 1.0], [1.0, 0.0], [9.0, 9.0]]
    plain = metrics_of(rewards[:2], [0, 0])
    assert metrics_of(rewards, [0, 0, 1], valid_B=torch.tensor([True, True, False])) == plain
    assert metrics_of(rewards, [0, 0, 0], valid_B=torch.tensor([True, True, False])) == plain


def test_no_name_holds_a_word_that_verl_reduces_by():
    names = [name.replace("easy", "").replace("hard", "") for name in metrics_of([[1, 0], [0, 1]], [0, 0])]
    words = ("max", "min", "sum", "total", "timing", "last")
    assert not [(name, word) for name in names for word in words if word in name]

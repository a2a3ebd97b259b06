import math

import numpy as np
import pytest
import torch

from rvpo_verl.attach.verl_config import advantage_config, settings
from rvpo_verl.config import RewardsConfig
from rvpo_verl.core import RewardBatch, Schedule, Settings, compute
from rvpo_verl.core.schedule import value_at as k_at
from rvpo_verl.rewards.vector import RewardVector
from rvpo_verl.schema import parse


def k_of(value):
    return settings(advantage_config({"rvpo": {"k": value}})).k


def linear(**options):
    return k_of({"schedule": "linear", "from": 0.5, "to": 2.0, **options})


def test_a_number_is_k_at_every_step_and_needs_no_trainer():
    assert k_at(k_of(1.5), None, None) == 1.5
    assert k_at(k_of("inf"), 7, 10) == math.inf
    assert k_at(k_of({"schedule": "constant", "from": 1.5}), None, None) == 1.5


def test_linear_goes_from_the_first_to_the_last_step_and_stays():
    k = linear(over=4)
    assert [k_at(k, step, None) for step in (1, 2, 3, 4, 5, 99)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_cosine_starts_and_ends_flat():
    k = k_of({"schedule": "cosine", "from": 0.0, "to": 1.0, "over": 5})
    expected = [0.0, (1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1.0]
    assert [k_at(k, step, None) for step in range(1, 6)] == pytest.approx(expected)


def test_over_run_is_the_whole_training():
    assert [k_at(linear(), step, 4) for step in range(1, 5)] == [0.5, 1.0, 1.5, 2.0]
    assert k_at(linear(), 1, 1) == 0.5


def test_k_may_descend():
    k = k_of({"schedule": "linear", "from": 2.0, "to": 1.0, "over": 3})
    assert [k_at(k, step, None) for step in (1, 2, 3)] == [2.0, 1.5, 1.0]


def test_k_depends_on_the_global_step_alone_so_that_a_resumed_run_goes_on():
    whole = [k_at(linear(), step, 10) for step in range(1, 11)]
    resumed = [k_at(linear(), step, 10) for step in range(6, 11)]
    assert whole[5:] == resumed


@pytest.mark.parametrize(
    ("step", "total", "missing"), [(None, 10, "global_steps"), (3, None, "total_training_steps")]
)
def test_a_schedule_without_step_or_length_says_what_to_set(step, total, missing):
    with pytest.raises(ValueError, match=missing):
        k_at(linear(), step, total)


RISES = {"schedule": "linear", "from": 0.0, "to": 2.0, "over": 5}
GROUPS = np.array([0] * 4)
SCORES = {"hard": [0.0, 0.0, 1.0, 1.0], "a/x": [1.0, 0.0, 0.5, 0.0], "a/y": [3.0, 1.0, 0.0, 1.0]}


def vectors(**weights):
    """Of a reward `hard` and a reward `a` that names two scores."""
    weight_of = {name: weights.get(name.partition("/")[0], 1.0) for name in SCORES}
    return [
        RewardVector(dict(zip(SCORES, row, strict=True)), weight_of)
        for row in zip(*SCORES.values(), strict=True)
    ]


def computed(settings, step=None, **weights):
    batch = RewardBatch.from_vectors(vectors(**weights), GROUPS, torch.ones(4))
    return compute(batch, settings, step, 100)


@pytest.mark.parametrize(("step", "weight"), [(1, 0.0), (3, 1.0), (5, 2.0), (9, 2.0)])
@pytest.mark.parametrize("reward", ["hard", "a"])
def test_a_scheduled_weight_is_that_weight_at_each_step(reward, step, weight):
    result = computed(Settings(weights={reward: Schedule("linear", 0.0, 2.0, 5)}), step)
    assert torch.equal(result.advantages_B, computed(Settings(), **{reward: weight}).advantages_B)
    assert result.metrics[f"rvpo/{reward}/scheduled_weight"] == weight


def test_a_scheduled_weight_multiplies_the_weights_that_a_reward_gives_its_scores():
    scheduled = computed(Settings(weights={"a": Schedule("linear", 0.0, 2.0, 5)}), 5, a=0.5)
    assert torch.equal(scheduled.advantages_B, computed(Settings()).advantages_B)


def test_weights_of_columns_follow_a_schedule_by_their_whole_key():
    columns = {"reward/hard": SCORES["hard"], "reward/easy": SCORES["a/x"]}
    batch = RewardBatch.from_columns(columns, GROUPS, torch.ones(4))
    weighted = RewardBatch.from_columns(columns, GROUPS, torch.ones(4), weights={"reward/easy": 1.5})
    config = {"reward_keys": list(columns), "reward_weights": {"reward/easy": RISES}}
    result = compute(batch, settings(advantage_config({"rvpo": config})), 4, None)
    assert torch.equal(result.advantages_B, compute(weighted, Settings()).advantages_B)


def test_the_weights_that_follow_a_schedule_are_those_of_the_configuration():
    rewards = {"a": {"weight": RISES}, "b": {"outputs": {"x": RISES, "y": 3.0}}, "c": {"weight": 2.0}}
    config = parse(RewardsConfig, {"rewards": rewards}, "reward.rvpo")
    rises = Schedule("linear", 0.0, 2.0, 5)
    assert settings(advantage_config({}), config).weights == {"a": rises, "x": rises}


def test_a_scheduled_weight_without_a_step_says_what_to_set():
    with pytest.raises(ValueError, match=r"a weight, follows a linear schedule.*global_steps"):
        computed(Settings(weights={"a": Schedule("linear", 0.0, 2.0, 5)}))

"""verl's filter of groups through the launcher, on rewards whose sum is the same for every response."""

import pytest

from tests.support import scoring

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(700)]


@pytest.fixture(scope="module")
def run(train):
    return train(
        "+rvpo=default",
        "reward.reward_manager.name=rvpo",
        *(f"+reward.rvpo.rewards.{name}.function={scoring.__file__}:{name}" for name in ("up", "down")),
        "algorithm.filter_groups.enable=True",
        "algorithm.filter_groups.metric=rvpo_vector",
        "trainer.total_training_steps=2",
    )


def test_groups_whose_rewards_add_up_alike_are_trained_and_constant_ones_are_not(run):
    """By the sum verl would drop every group, and wait for another for ever."""
    assert list(run.steps) == [1, 2]
    for metrics in run.steps.values():
        assert metrics["rvpo/constant_groups/share"] == 0.0
        assert metrics["rvpo/up/std"] > 0
        assert metrics["rvpo/up/mean"] + metrics["rvpo/down/mean"] == pytest.approx(1.0)
        assert metrics["actor/grad_norm"] > 0
    assert sum(metrics.get("training/filter_groups/evicted_samples", 0) for metrics in run.steps.values()) > 0

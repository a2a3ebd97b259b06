"""What rewards cost is added up, and a limit of it ends a training before it is exceeded."""

from types import SimpleNamespace

import numpy as np
import pytest

from rvpo_verl.attach.adapter import end_after_next_step, planned_steps
from rvpo_verl.errors import UserError
from rvpo_verl.rewards.cost import TokenBudget, cost_metrics
from rvpo_verl.rewards.vector import RewardVector


def vector(**figures):
    return RewardVector({"rubric/a/1": 1.0}, figures={"rubric": figures})


def test_counts_are_added_up_and_of_measurements_percentiles_are_logged():
    vectors = [
        vector(calls=3, tokens_in=100, latency=[1.0, 2.0]),
        vector(calls=2, tokens_in=50, latency=[3.0]),
    ]
    travelled = [RewardVector.loads(one.dumps()) for one in vectors]
    metrics = cost_metrics([*travelled, RewardVector({"length": 0.5})])
    assert metrics == {
        "rvpo/rubric/calls": 5.0,
        "rvpo/rubric/tokens_in": 150.0,
        "rvpo/rubric/latency_p50": 2.0,
        "rvpo/rubric/latency_p95": pytest.approx(np.percentile([1, 2, 3], 95)),
    }


def test_no_metric_is_made_of_nothing():
    assert cost_metrics([vector(calls=0, latency=[])]) == {"rvpo/rubric/calls": 0.0}


def test_a_training_within_its_budget_takes_the_step_that_fits_and_no_more():
    """Steps of 100 tokens, 450 allowed: the fourth ends at 400, a fifth would exceed them."""
    budget = TokenBudget(450)
    metrics = {"rvpo/rubric/tokens_in": 90.0, "rvpo/rubric/tokens_out": 10.0, "rvpo/rubric/calls": 1e9}
    assert [budget.spend(metrics) is None for _ in range(3)] == [True, True, False]
    assert all(TokenBudget(None).spend(metrics) is None for _ in range(3))


def test_a_trainer_is_told_that_its_next_step_is_the_last():
    trainer = SimpleNamespace(global_steps=3, total_training_steps=100)
    end_after_next_step(trainer, "spent")
    assert trainer.total_training_steps == 4
    assert planned_steps(trainer) == 100, "schedules go on as they were"
    trainer.total_training_steps = 2
    end_after_next_step(trainer, "spent")
    assert trainer.total_training_steps == 2
    assert planned_steps(trainer) == 100


@pytest.mark.parametrize(
    "trainer", [None, SimpleNamespace(global_steps=3, total_training_steps=9, total_train_steps=9)]
)
def test_a_trainer_that_cannot_be_ended_raises_instead_of_spending_more(trainer):
    with pytest.raises(UserError, match="spent"):
        end_after_next_step(trainer, "spent")

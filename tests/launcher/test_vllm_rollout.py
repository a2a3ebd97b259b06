"""verl's launcher with vLLM as the rollout engine: its server, its requests and its weight updates, without a GPU."""

import math

import pytest

from tests.support import vllm_server

pytestmark = [
    pytest.mark.launcher,
    pytest.mark.timeout(700),
    pytest.mark.skipif(not vllm_server.installed(), reason=vllm_server.REASON),
]


@pytest.fixture(scope="module")
def run(train):
    # The policy moves far in a step, and still learns: at 1e-2 all rewards are constant after the first.
    return train(
        "+rvpo=tool_calling", "trainer.total_training_steps=3", "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.rollout.calculate_log_probs=True", rollout="vllm",
    )  # fmt: skip


def test_three_steps_are_trained_with_rvpo(run):
    assert list(run.steps) == [1, 2, 3]
    for step, metrics in run.steps.items():
        assert metrics["rvpo/k"] == 1.0
        assert metrics["actor/grad_norm"] > 0
        for reward in ("tool_call_format", "tool_call_correctness"):
            assert metrics[f"rvpo/{reward}/missing"] == 0
            assert math.isfinite(metrics[f"rvpo/{reward}/mean"])
        assert len(run.rvpo(step)) == len(run.rvpo(1))


def test_vllm_generates_with_the_weights_of_the_step(run):
    for metrics in run.steps.values():
        assert metrics["training/rollout_probs_diff_valid"] == 1
        assert metrics["training/rollout_actor_probs_pearson_corr"] > 0.99
        assert metrics["training/rollout_probs_diff_max"] < 0.1  # the mean is as small with other weights

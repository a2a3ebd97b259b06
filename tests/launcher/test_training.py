"""verl's real launcher, trained through in each of the ways that the plugin attaches to it."""

import pytest

from tests.support import scoring

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(700)]

SCORING = scoring.__file__
PRESET = [
    "+rvpo=tool_calling",
    "algorithm.rvpo.k={schedule:linear,from:0.5,to:2.0}",
    f"+reward.rvpo.rewards.unreliable.function={SCORING}:unreliable",
    "reward.rvpo.max_failure_share=0.9",
]
OWN_SCORING = [
    "+algorithm.gdpo_reward_keys=[format,correct]",
    f"reward.custom_reward_function.path={SCORING}",
]


@pytest.fixture(scope="module")
def v1(train, tmp_path_factory):
    """Four steps on two ranks with padded batches, killed after the checkpoint of step 2, and its resumption."""
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    overrides = [
        *PRESET,
        # 24 rollouts in mini-batches of 16 are padded to 32 rows.
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.actor.use_kl_loss=True",
        "trainer.total_training_steps=4",
        "trainer.save_freq=2",
        f"trainer.default_local_dir={checkpoints}",
        "trainer.resume_mode=auto",
    ]
    saved = checkpoints / "latest_checkpointed_iteration.txt"
    killed = train(*overrides, ranks=2, until=lambda result: 2 in result.steps and saved.exists())
    assert saved.read_text() == "2"
    return killed, train(*overrides, "trainer.test_freq=4", ranks=2)


@pytest.fixture(scope="module")
def v0(train):
    return train(
        *PRESET, "trainer.use_v1=False", "trainer.total_training_steps=2", "trainer.test_freq=2",
        "+algorithm.gdpo_reward_keys=[tool_call_format,tool_call_correctness]",
    )  # fmt: skip


@pytest.fixture(scope="module")
def one_word(train):
    """A GDPO user's command with the one word changed, on V1, where verl's own gdpo does not run."""
    return train(
        *OWN_SCORING, "algorithm.adv_estimator=rvpo", "trainer.total_training_steps=2",
        "trainer.v1.trainer_mode=colocate_async",
    )  # fmt: skip


def test_a_resumed_run_continues_k_exactly_where_it_was(v1):
    killed, resumed = v1
    assert [killed.steps[step]["rvpo/k"] for step in (1, 2)] == [0.5, 1.0]
    assert min(resumed.steps) == 3
    assert [resumed.steps[step]["rvpo/k"] for step in (3, 4)] == [1.5, 2.0]


def test_padding_rows_receive_nothing_and_are_in_no_statistic(v1):
    batches = v1[0].batches + v1[1].batches
    assert len(batches) >= 4
    for batch in batches:
        assert batch["padding"] == 8
        assert batch["padding_advantage"] == 0.0
        assert batch["mean"] == pytest.approx(0.0, abs=1e-5)
        assert batch["variance"] == pytest.approx(1.0, abs=1e-3)


def test_reward_vectors_stay_with_their_responses(v1):
    assert max(batch["misaligned"] for batch in v1[0].batches + v1[1].batches) < 1e-5


def test_v1_and_v0_log_the_same_metrics(v1, v0):
    names, others = (
        {name for name in run.rvpo(1) if "/failed/" not in name}  # by what happened to fail
        for run in (v1[0], v0)
    )
    assert names == others
    for reward in ("tool_call_format", "tool_call_correctness", "unreliable"):
        for metric in ("mean", "std", "missing", "failed", "constant_groups", "bottleneck", "weight"):
            assert f"rvpo/{reward}/{metric}" in names
    assert [v0.steps[step]["rvpo/k"] for step in (1, 2)] == [0.5, 2.0]


def test_failures_are_missing_counted_and_logged_once_per_worker(v1, v0):
    for run, workers in ((v1[0], 1), (v0, 1)):
        metrics = run.rvpo(1)
        assert 0 < metrics["rvpo/unreliable/failed"] < metrics["rvpo/unreliable/missing"] < 1
        assert metrics["rvpo/tool_call_format/missing"] == 0
        assert run.log.count("LookupError: the judge hung up. More failures") == workers
        assert "SystemExit" in run.log or "Panic: no more memory" in run.log


def test_rewards_show_in_validation(v1, v0):
    for metrics in (v1[1].steps[4], v0.steps[2]):
        for reward in ("tool_call_format", "tool_call_correctness", "unreliable"):
            assert f"val-aux/rlla/{reward}/mean@1" in metrics


def test_mean_equals_verls_gdpo_on_every_batch(v0):
    assert len(v0.batches) == 2
    for batch in v0.batches:
        assert batch["largest"] > 0.1
        assert batch["difference"] < 1e-5


def test_changing_one_word_trains_a_gdpo_users_command_with_rvpo(one_word):
    assert list(one_word.steps) == [1, 2]
    for metrics in one_word.steps.values():
        assert metrics["rvpo/k"] == 2.0
        assert metrics["rvpo/format/missing"] == metrics["rvpo/correct/missing"] == 0
        assert metrics["actor/grad_norm"] > 0

"""verl's launcher trains through whatever rewards do, says aloud that they teach nothing, and tells them the step."""

import pytest

from tests.support import odd_rewards

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(700)]

FAILING = {"runs_the_answer": "SystemExit", "is_cancelled": "CancelledError", "unprintable": "Unprintable"}
STEPS = 6


def rewards(**options):
    """Overrides for rewards by name, with the options of each."""
    overrides = ["+rvpo=default", "reward.reward_manager.name=rvpo"]
    for name, extra in options.items():
        key = f"+reward.rvpo.rewards.{name}"
        overrides += [f"{key}.function={odd_rewards.__file__}:{name}"]
        overrides += [f"{key}.{option}={value}" for option, value in extra.items()]
    return overrides


TOLD = {
    "told": {"weight": "{schedule:linear,from:0,to:1,over:6}"},
    "easy": {"only_if": "{told:2}", "otherwise": -1},
}


@pytest.fixture(scope="module")
def v1(train):
    return train(
        *rewards(by_alarm={"executor": "process"}, never={}, **{name: {} for name in FAILING}, **TOLD),
        "+reward.rvpo.max_failure_share=0.9",
        f"trainer.total_training_steps={STEPS}",
        f"trainer.test_freq={STEPS}",
    )


@pytest.fixture(scope="module")
def v0(train):
    return train(
        *rewards(**TOLD),
        "trainer.use_v1=False",
        "trainer.total_training_steps=2",
        "trainer.test_freq=2",
        env={"VERL_USE_EXTERNAL_MODULES": "rvpo_verl,rvpo_verl.cpu"},  # nothing to compare with gdpo
    )


def test_whatever_rewards_raise_is_counted_and_logged_once(v1):
    assert list(v1.steps) == list(range(1, STEPS + 1))
    total = dict.fromkeys(FAILING, 0.0)
    for metrics in v1.steps.values():
        for name, kind in FAILING.items():
            assert metrics[f"rvpo/{name}/failed"] == metrics.get(f"rvpo/{name}/failed/{kind}", 0.0)
            assert metrics[f"rvpo/{name}/missing"] == pytest.approx(metrics[f"rvpo/{name}/failed"])
            total[name] += metrics[f"rvpo/{name}/failed"]
    assert all(total.values()), total
    for name in FAILING:
        assert v1.log.count(f"reward '{name}'") == 1


def test_a_reward_in_a_process_of_a_reward_worker_has_a_main_thread(v1):
    for metrics in v1.steps.values():
        assert metrics["rvpo/by_alarm/mean"] == 1.0
        assert metrics["rvpo/by_alarm/failed"] == 0.0


def test_a_training_that_learns_nothing_says_so_once(v1):
    assert v1.log.count("THIS TRAINING LEARNS NOTHING") == 1
    assert v1.log.count("never is absent") == 1
    for metrics in v1.steps.values():
        assert metrics["rvpo/no_signal"] == 1.0
        assert metrics["actor/grad_norm"] == 0.0


@pytest.mark.parametrize("trainer", ["v1", "v0"])
def test_rewards_are_told_the_step_and_whether_it_is_a_validation(request, trainer):
    run = request.getfixturevalue(trainer)
    for step, metrics in run.steps.items():
        assert metrics["rvpo/told/mean"] == step
        assert metrics["rvpo/easy/mean"] == (1.0 if step >= 2 else -1.0)
    last = max(run.steps)
    assert run.steps[last]["val-aux/rlla/told/mean@1"] == -last


@pytest.mark.parametrize("trainer", ["v1", "v0"])
def test_a_weight_follows_its_schedule_by_the_step(request, trainer):
    run = request.getfixturevalue(trainer)
    for step, metrics in run.steps.items():
        assert metrics["rvpo/told/scheduled_weight"] == pytest.approx((step - 1) / 5)
        assert (metrics["rvpo/told/weight"] == 0) == (step == 1)


def test_validation_reports_failures(v1):
    assert v1.steps[STEPS]["val-aux/rlla/rvpo_failed/mean@1"] > 0

"""When a run is said to be frozen or to neglect a reward, and when nothing is said."""

import pytest

from rvpo_verl.core.monitor import NO_SIGNAL, WINDOW, Monitor
from tests.support.metrics import metrics_of


def step(**rewards):
    """Metrics of one step: of each reward its mean and the share of groups in which it is constant."""
    return {
        f"rvpo/{name}/{figure}": value
        for name, (mean, constant) in rewards.items()
        for figure, value in {"mean": mean, "constant_groups": constant, "best": 1.0, "worst": 0.0}.items()
    }


def watched(steps):
    watch, lines, flags = Monitor(), [], {}
    for metrics in steps:
        flags, new = watch.observe(metrics)
        lines += new
    return flags, lines


def ramp(start, end, count):
    return [start + (end - start) * i / (count - 1) for i in range(count)]


def test_a_rare_reward_that_groups_cannot_compare_is_frozen():
    flags, lines = watched([step(hard=(0.01, 0.95), easy=(0.5, 0.1))] * WINDOW)
    assert flags == {
        "rvpo/no_signal": 0,
        "rvpo/hard/frozen": 1, "rvpo/hard/neglected": 0, "rvpo/easy/frozen": 0, "rvpo/easy/neglected": 0,
    }  # fmt: skip
    assert len(lines) == 1
    assert "hard is frozen" in lines[0]


def test_a_solved_reward_is_constant_too_and_not_frozen():
    flags, lines = watched([step(solved=(0.99, 0.95), easy=(0.5, 0.1))] * WINDOW)
    assert flags["rvpo/solved/frozen"] == 0
    assert not lines


def test_where_nothing_varies_nothing_is_frozen():
    _, lines = watched([step(hard=(0.01, 0.95), easy=(0.9, 0.85))] * WINDOW)
    assert not lines


def test_a_reward_that_never_varied_may_be_solved_or_not_and_is_left_alone():
    steps = [step(safe=(1.0, 1.0), easy=(0.5, 0.1)) | {"rvpo/safe/worst": 1.0}] * WINDOW
    assert not watched(steps)[1]


def test_a_reward_that_falls_while_the_others_rise_is_neglected():
    up, down = ramp(0.3, 0.9, 3 * WINDOW), ramp(0.9, 0.4, 3 * WINDOW)
    steps = [step(safe=(d, 0.5), helpful=(u, 0.5), polite=(u, 0.5)) for d, u in zip(down, up, strict=True)]
    flags, lines = watched(steps)
    assert flags["rvpo/safe/neglected"] == 1
    assert flags["rvpo/helpful/neglected"] == flags["rvpo/polite/neglected"] == 0
    assert len(lines) == 1, "told once"
    assert "safe is being neglected" in lines[0]


def test_a_training_in_which_everything_falls_neglects_nothing():
    steps = [step(a=(mean, 0.5), b=(mean, 0.5)) for mean in ramp(0.9, 0.3, 3 * WINDOW)]
    assert not watched(steps)[1]


def test_a_small_fall_is_no_neglect():
    up, down = ramp(0.3, 0.9, 3 * WINDOW), ramp(0.9, 0.8, 3 * WINDOW)
    assert not watched([step(a=(d, 0.5), b=(u, 0.5)) for d, u in zip(down, up, strict=True)])[1]


def test_nothing_is_said_before_the_window_is_full():
    flags, lines = watched([step(hard=(0.01, 0.95), easy=(0.5, 0.1))] * (WINDOW - 1))
    assert set(flags) == {"rvpo/no_signal"}
    assert not lines


def test_a_batch_without_the_reward_is_passed_over():
    absent = step(hard=(float("nan"), 0.0), easy=(0.5, 0.1))
    steps = [step(hard=(0.01, 0.95), easy=(0.5, 0.1))] * (WINDOW - 1) + [absent]
    assert "rvpo/hard/frozen" not in watched(steps)[0]


def test_a_frozen_reward_of_real_metrics_is_reported_once():
    """One lone success among 24 groups, seen at every step."""
    monitor, groups, lines = Monitor(), [row // 2 for row in range(48)], []
    rewards = [[row % 2, float(row == 0)] for row in range(48)]
    for _ in range(WINDOW + 5):
        metrics = metrics_of(rewards, groups)
        flags, new = monitor.observe(metrics)
        lines += new
    assert metrics["rvpo/hard/constant_groups"] == pytest.approx(23 / 24)
    assert flags["rvpo/hard/frozen"] == 1
    assert sum("rvpo: hard is frozen" in line for line in lines) == 1


def test_a_run_in_which_nothing_varies_is_said_once_and_loudly():
    groups = [row // 2 for row in range(8)]
    constant = metrics_of([[row // 2, 1.0] for row in range(8)], groups)
    varied = metrics_of([[row % 2, 1.0] for row in range(8)], groups)
    monitor, lines = Monitor(), []
    for metrics, flag in [*[(constant, 1)] * 4, (varied, 0), *[(constant, 1)] * 12]:
        flags, new = monitor.observe(metrics)
        lines += new
        assert flags["rvpo/no_signal"] == flag
        if metrics is varied:
            assert not lines  # four steps were not enough
    assert [line for line in lines if "LEARNS NOTHING" in line] == [NO_SIGNAL]


def test_a_reward_that_no_response_has_is_reported_once():
    groups, nan = [row // 2 for row in range(8)], float("nan")
    metrics = metrics_of([[row % 2, nan] for row in range(8)], groups)
    monitor, lines = Monitor(), []
    for _ in range(12):
        flags, new = monitor.observe(metrics)
        lines += new
    assert len(lines) == 1 and lines[0].startswith("rvpo: hard is absent")
    assert flags["rvpo/no_signal"] == 0


def test_what_varies_without_a_weight_is_no_signal():
    groups, rewards = [0, 0], [[1.0, 1.0], [1.0, 2.0]]
    for monitored, no_signal in (("hard", 1), ("easy", 0)):
        metrics = metrics_of(rewards, groups, weights={monitored: 0.0})
        assert Monitor().observe(metrics)[0]["rvpo/no_signal"] == no_signal


def test_a_batch_without_any_reward_has_no_signal():
    metrics = metrics_of([[float("nan")] * 2] * 4, [0, 0, 1, 1])
    assert Monitor().observe(metrics)[0]["rvpo/no_signal"] == 1

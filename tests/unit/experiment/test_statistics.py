"""Figures of a run and comparisons between runs, derived by hand."""

import numpy as np
import pytest
from experiment import statistics as stats

from tests.support.made_runs import made


def test_steps_to_reach_and_late_collapse():
    result = made()
    # Three evaluations are averaged: (0 + 1 + 1) / 3 at step 200, (1 + 1 + 1) / 3 at step 300.
    assert stats.steps_to_reach(result) == 300
    # met is 0, .9, .9, .3: averaged 0, .3, .6, .7, so that the end is the best; and never below.
    assert stats.late_collapse(result) == 0
    result.outcome.met[:] = [0.9, 0.9, 0.9, 0.3]
    assert stats.late_collapse(result) == pytest.approx(0.2)


def test_a_reward_is_measured_from_its_worst_to_the_ideal():
    np.testing.assert_allclose(stats.final_attained(made()), 1.0)
    low = made()
    low.outcome.final_rewards[1] = 0.0  # correctness: half of the way from -3 to 3
    assert stats.lowest_attained(low) == pytest.approx(0.5)


def test_the_interval_of_equal_runs_has_no_width_and_of_two_values_spans_them():
    same = [made(seed=seed) for seed in range(4)]
    assert stats.bootstrap(same, stats.met) == stats.Interval(1.0, 1.0, 1.0)
    assert stats.bootstrap_met(same) == stats.Interval(1.0, 1.0, 1.0)
    two = [made(met=0), made(met=1, seed=1)]
    assert stats.bootstrap(two, stats.met) == stats.Interval(0.5, 0.0, 1.0)


def test_what_the_design_fixes_is_not_drawn_again():
    """Checkpoints that differ, and prompts in conflict that all fail, leave equal seeds without an interval."""
    runs = [
        made(met=int(checkpoint == 0), checkpoint=checkpoint, seed=seed)
        for checkpoint in (0, 1)
        for seed in (0, 1)
    ]
    assert stats.bootstrap(runs, stats.met) == stats.Interval(0.5, 0.5, 0.5)
    half = made()
    conflict = stats.in_conflict(stats.evaluation()).tolist()
    half.outcome.final_met[:] = [0 if failing else stats.FINAL_SAMPLES for failing in conflict]
    assert stats.bootstrap_met([half, half]) == stats.Interval(0.5, 0.5, 0.5)


def test_comparisons_pair_runs_by_checkpoint_and_seed():
    first = [made(met=0, seed=seed) for seed in range(6)]
    second = [made(met=1, seed=seed) for seed in reversed(range(1, 7))]
    test = stats.compare(first, second, stats.met)
    assert (test.pairs, test.difference) == (5, 1.0)
    assert test.p == pytest.approx(2 / 2**5)  # all five differences have one sign
    assert stats.compare(first, first, stats.met).p == 1.0
    with pytest.raises(ValueError, match="no pair"):
        stats.compare(first[:1], second[:1], stats.met)

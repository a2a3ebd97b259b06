import math

import numpy as np
import pytest
from scipy.stats import kstest

from rvpo_verl.evaluation.paired import clipped_mean, compare, holm, mean


def slow(first, second, statistic, resamples, seed):
    """A resample at a time, drawn and scored in plain Python."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        chosen = rng.integers(len(first), size=len(first))
        drawn.append(statistic([second[i] for i in chosen]) - statistic([first[i] for i in chosen]))
    not_above = sum(difference <= 0 for difference in drawn)
    not_below = sum(difference >= 0 for difference in drawn)
    p = min(1.0, 2 * (1 + min(not_above, not_below)) / (1 + resamples))
    return sorted(drawn), max(p, 2.0 ** (1 - len(first)))


def slow_clipped_mean(values):
    return min(1.0, max(0.0, math.fsum(values) / len(values)))


@pytest.mark.parametrize("samples", [1, 7, 60])
def test_it_agrees_with_a_resample_at_a_time_in_plain_python(samples):
    rng = np.random.default_rng(samples)
    first, second = rng.normal(0.05, 0.5, samples), rng.normal(0.1, 0.5, samples)
    compared = compare(np.array([first, second]), clipped_mean, resamples=201, seed=3)
    drawn, p = slow(first, second, slow_clipped_mean, 201, seed=3)
    (difference,) = compared.differences
    # The 2.5% and 97.5% quantiles of 201 sorted values are the 6th and the 196th.
    assert (difference.interval.low, difference.interval.high) == pytest.approx(
        (drawn[5], drawn[195]), abs=1e-12
    )
    assert difference.interval.value == pytest.approx(slow_clipped_mean(second) - slow_clipped_mean(first))
    assert difference.p == pytest.approx(p)


def test_the_draws_do_not_depend_on_how_many_fit_into_memory_at_once(monkeypatch):
    values = np.random.default_rng(0).normal(size=(3, 40))
    whole = compare(values, resamples=200)
    monkeypatch.setattr("rvpo_verl.evaluation.paired.CELLS", 1000)
    assert compare(values, resamples=200) == whole


def null_and_shifted(simulations, shift):
    """Pairs that share their difficulty: the second is the first's equal, plus `shift`."""
    rng = np.random.default_rng(11)
    for _ in range(simulations):
        difficulty = rng.normal(size=80)
        first, second = difficulty + rng.normal(size=(2, 80)) * 0.5
        yield np.array([first, second + shift])


def test_p_values_are_uniform_where_there_is_no_difference():
    p_values = [compare(values, resamples=400).differences[0].p for values in null_and_shifted(300, 0.0)]
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_intervals_hold_the_true_difference_in_95_of_100_cases_and_pairing_makes_them_narrow():
    held, widths, unpaired = [], [], []
    for values in null_and_shifted(300, 0.3):
        compared = compare(values, resamples=400)
        interval = compared.differences[0].interval
        held.append(interval.low <= 0.3 <= interval.high)
        widths.append(interval.high - interval.low)
        unpaired.append(math.hypot(*(score.high - score.low for score in compared.scores)))
    assert 0.91 < np.mean(held) < 0.98
    # Standard deviations of a difference: sqrt(2) * 0.5 paired, sqrt(2 * (1 + 0.25)) unpaired.
    assert np.mean(widths) / np.mean(unpaired) == pytest.approx(math.sqrt(0.5 / 2.5), rel=0.1)


def test_p_is_below_5_percent_where_the_interval_leaves_out_zero():
    for values in null_and_shifted(100, 0.15):
        (difference,) = compare(values, resamples=1000).differences
        leaves_out = difference.interval.low > 0 or difference.interval.high < 0
        if not 0.045 < difference.p < 0.055:
            assert (difference.p < 0.05) == leaves_out


@pytest.mark.parametrize(("samples", "p"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_a_handful_of_samples_that_agree_proves_little(samples, p):
    (difference,) = compare(np.array([np.zeros(samples), np.ones(samples)])).differences
    assert difference.interval.low == 1.0
    assert difference.p == p


def test_scores_that_are_all_cut_to_zero_do_not_differ_though_their_means_do():
    values = np.array([np.full(20, -0.5), np.full(20, -0.1)])
    (difference,) = compare(values, clipped_mean, resamples=200).differences
    assert (difference.interval.value, difference.interval.low, difference.interval.high, difference.p) == (
        0,
        0,
        0,
        1,
    )
    assert compare(values, mean, resamples=200).differences[0].p < 0.02


def test_a_cut_score_is_cut_on_every_resample():
    # The mean is -0.1; half of the resamples are above 0, and those below count as 0.
    values = np.array([[-1.0, 0.8] * 20] * 2)
    (score, _) = compare(values, clipped_mean, resamples=2000).scores
    assert (score.value, score.low) == (0.0, 0.0)
    assert 0.1 < score.high < 0.3


@pytest.mark.parametrize("values", [np.empty((2, 0)), np.array([[1.0], [np.nan]])])
def test_nothing_to_compare_is_refused(values):
    with pytest.raises(ValueError, match="at least one sample"):
        compare(values)


def test_holm():
    # Sorted: .01 * 3, max(.03, .02 * 2), max(.04, .04 * 1)
    assert holm([0.02, 0.01, 0.04]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.03]) == [0.03]

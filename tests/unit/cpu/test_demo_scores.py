import math

import pytest

from rvpo_verl.cpu import demo_scores
from rvpo_verl.cpu.demo_scores import BOTH, REWARDS


def answers(prompt, *scores):
    return [demo_scores.scored({"input": prompt, **dict(zip(REWARDS, pair, strict=True))}) for pair in scores]


BEFORE = answers("a", (0.0, -3.0), (1.0, -1.0)) + answers("b", (0.0, 1.0))
AFTER = answers("a", (1.0, 0.0), (1.0, 2.0)) + answers("b", (1.0, 2.0))


def test_differences_are_between_answers_to_the_same_prompt():
    # Prompt a rose by 3, b by 1.
    assert demo_scores.paired_difference(BEFORE, AFTER, "tool_call_correctness") == pytest.approx((2.0, 1.0))
    assert demo_scores.paired_difference(BEFORE, AFTER, "tool_call_format") == pytest.approx((0.75, 0.25))


def test_a_prompt_without_answers_on_one_side_is_left_out():
    more = BEFORE + answers("c", (0.0, 0.0))
    assert demo_scores.paired_difference(more, AFTER, "tool_call_format") == pytest.approx((0.75, 0.25))


def test_one_prompt_has_no_standard_error_and_none_has_no_difference():
    difference, error = demo_scores.paired_difference(
        answers("a", (0.0, 1.0)), answers("a", (1.0, 1.0)), BOTH
    )
    assert difference == 0.0 and math.isnan(error)
    assert all(map(math.isnan, demo_scores.paired_difference(BEFORE, answers("z", (1.0, 1.0)), BOTH)))


def test_missing_scores_are_left_out():
    scores = answers("a", (1.0, None), (1.0, 3.0), (0.0, math.nan))
    assert demo_scores.mean(scores, "tool_call_correctness") == 3.0
    assert demo_scores.mean(scores, BOTH) == pytest.approx(2 / 3)
    assert math.isnan(demo_scores.mean([], BOTH))


def test_changes_name_each_reward_with_sampled_and_greedy_means():
    changes = demo_scores.changes([BEFORE, AFTER], [AFTER, BEFORE])
    assert [change.name for change in changes] == [*REWARDS, BOTH]
    assert changes[0].sampled == pytest.approx((1 / 3, 1.0))
    assert changes[0].greedy == pytest.approx((1.0, 1 / 3))
    assert (changes[1].difference, changes[1].standard_error) == pytest.approx((2.0, 1.0))

"""Answers that make a judge fail are seen; a server that fails on all of them is no sign of it."""

from rvpo_verl.rewards.uneven import uneven_failures
from rvpo_verl.rewards.vector import RewardVector


def judged(*causes):
    names = [f"rubric/a/{number}" for number, _ in enumerate(causes, start=1)]
    scores = {name: 1.0 if cause is None else None for name, cause in zip(names, causes, strict=True)}
    failures = {name: cause for name, cause in zip(names, causes, strict=True) if cause is not None}
    return RewardVector(scores, failures=failures)


FINE, EVIL = judged(None, None), judged("refusal: no", "malformed: no verdict")


def test_an_answer_that_fails_alone_in_its_group_is_counted_and_warned_of():
    metrics, warnings = uneven_failures([FINE, FINE, FINE, EVIL], [0, 0, 0, 0])
    assert metrics == {"rvpo/rubric/failed_alone": 0.25}
    assert "25.0%" in warnings["rubric"]


def test_what_fails_on_the_whole_group_or_by_the_server_is_not_the_answers_doing():
    assert uneven_failures([EVIL] * 4, [0] * 4)[0] == {"rvpo/rubric/failed_alone": 0.0}
    overloaded = judged("timeout: 60 s", "server_error: 503")
    assert uneven_failures([FINE, FINE, FINE, overloaded], [0] * 4) == ({}, {})


def test_groups_are_not_mixed():
    assert uneven_failures([EVIL, EVIL, FINE, FINE], [0, 0, 1, 1])[0] == {"rvpo/rubric/failed_alone": 0.0}
    assert uneven_failures([EVIL, FINE, EVIL, FINE], [0, 0, 1, 1])[0] == {"rvpo/rubric/failed_alone": 0.5}


def test_a_few_rare_failures_bring_no_warning():
    metrics, warnings = uneven_failures([EVIL, *[FINE] * 99], [n // 4 for n in range(100)])
    assert metrics == {"rvpo/rubric/failed_alone": 0.01}
    assert warnings == {}


def test_a_reward_that_fails_as_a_whole_counts_too():
    whole = RewardVector({}, failures={"quality": "rejected: too long"})
    scored = RewardVector({"quality": 0.5})
    assert uneven_failures([whole, scored, scored], [7, 7, 7])[0] == {"rvpo/quality/failed_alone": 1 / 3}


def test_nothing_comes_of_a_batch_without_vectors():
    assert uneven_failures([], [0, 1]) == ({}, {})

import pytest

from rvpo_verl.config import RewardsConfig
from rvpo_verl.rewards.failures import Failures, RewardFailureError, failure_shares
from rvpo_verl.rewards.vector import RewardVector
from rvpo_verl.schema import parse

CONFIG = parse(
    RewardsConfig,
    {"rewards": {"a": {}, "rubric": {}, "pair": {"outputs": {"x": 1, "y": 1}}}, "max_failure_share": 0.5},
    "reward.rvpo",
)


def test_share_is_over_responses_that_the_reward_applies_to():
    vectors = [
        RewardVector({"a": 1.0, "rubric/dose": 1.0, "x": 1.0, "y": None}),
        RewardVector({"a": None, "x": 0.0, "y": 0.0}, failures={"a": "ValueError: no"}),
        RewardVector({"a": None, "x": None, "y": None}),
        RewardVector({"a": None, "x": None, "y": None}, failures={"pair": "TimeoutError: 60 s"}),
    ]
    assert failure_shares(vectors, CONFIG) == {
        "a": Failures(1 / 2, {"ValueError": 1 / 2}),
        "rubric": Failures(0.0, {}),
        "pair": Failures(1 / 3, {"TimeoutError": 1 / 3}),
    }


def test_scores_that_fail_one_by_one_are_counted_one_by_one():
    vectors = [
        RewardVector(
            {"rubric/x/1": 1.0, "rubric/x/2": None, "rubric/y/3": None, "rubric/y/4": None},
            failures={
                "rubric/x/2": "timeout: slow",
                "rubric/y/3": "malformed: eh",
            },  # the fourth does not apply
        ),
        RewardVector({"rubric/x/1": 0.0, "rubric/x/2": 0.0, "rubric/y/3": 1.0}),
    ]
    assert failure_shares(vectors, CONFIG)["rubric"] == Failures(
        2 / 6, {"timeout": 1 / 6, "malformed": 1 / 6}
    )


def test_a_rubric_that_failed_as_a_whole_counts_as_many_as_the_others_have():
    vectors = [
        RewardVector({"rubric/x/1": 1.0, "rubric/x/2": None}, failures={"rubric/x/2": "timeout: slow"}),
        RewardVector({"rubric/x/1": 1.0, "rubric/x/2": 1.0}),
        RewardVector({"rubric": None}, failures={"rubric": "ValueError: no rubric"}),
    ]
    assert failure_shares(vectors, CONFIG)["rubric"] == Failures(
        1 / 2, {"timeout": 1 / 6, "ValueError": 1 / 3}
    )


def test_the_message_says_which_endpoint_said_what():
    failure = "server_error: http://judge:8000/v1 (m) answered with HTTP 503: overloaded"
    vectors = [
        RewardVector(
            {"rubric/x/1": None, "rubric/x/2": 1.0, "rubric/x/3": None},
            failures={
                "rubric/x/1": failure,
                "rubric/x/3": failure,
            },
        )
    ]
    with pytest.raises(
        RewardFailureError,
        match=r"'rubric' failed for 2 of 3 verdicts.*67%.*http://judge:8000/v1 .*503.*\(2 times\)",
    ):
        failure_shares(vectors, CONFIG)


def test_above_the_accepted_share_training_stops_and_says_why():
    vectors = [RewardVector({"a": 1.0})] + [
        RewardVector({"a": None}, failures={"a": cause}) for cause in ("KeyError: 'x'",) * 2 + ("OSError",)
    ]
    with pytest.raises(
        RewardFailureError, match=r"'a' failed for 3 of 4.*75%.*50%.*KeyError: 'x' \(2 times\)"
    ):
        failure_shares(vectors, CONFIG)


def test_at_the_accepted_share_training_goes_on():
    vectors = [RewardVector({"a": 1.0}), RewardVector({"a": None}, failures={"a": "OSError"})]
    assert failure_shares(vectors, CONFIG)["a"].share == 0.5

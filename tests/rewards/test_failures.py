import pytest

from rvpo_verl.config import RewardsConfig, parse
from rvpo_verl.rewards.failures import RewardFailureError, failure_shares
from rvpo_verl.rewards.vector import RewardVector

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
    assert failure_shares(vectors, CONFIG) == {"a": 1 / 2, "rubric": 0.0, "pair": 1 / 3}


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
    assert failure_shares(vectors, CONFIG)["a"] == 0.5

import numpy as np
import pytest
import torch

from rvpo_verl.core import RewardBatch
from rvpo_verl.errors import UserError
from rvpo_verl.rewards.vector import RewardVector


def of(vectors, groups):
    return RewardBatch.from_vectors(vectors, np.array(groups), torch.ones(len(groups)))


def test_prompts_with_different_rewards_share_columns():
    vectors = [
        RewardVector({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 0.5}),
        RewardVector({"b": 3.0, "a": None}, {"a": 1.0, "b": 0.5}),
        RewardVector({"c": 4.0}),
    ]
    batch = of(vectors, [0, 0, 1])
    np.testing.assert_equal(batch.rewards_BM.numpy(), [[1, 2], [np.nan, 3], [4, np.nan]])
    np.testing.assert_equal(batch.weights_BM.numpy(), [[1, 0.5], [1, 0.5], [1, 0]])
    assert batch.families == ("a", "b", "c")
    np.testing.assert_equal(batch.family_BM.numpy(), [[0, 1], [0, 1], [2, -1]])


def test_a_column_is_one_reward_for_all_responses_of_its_group():
    vectors = [RewardVector({"x": 1.0}), RewardVector({"y": 2.0, "x": 3.0})]
    batch = of(vectors, [0, 0])
    np.testing.assert_equal(batch.rewards_BM.numpy(), [[1, np.nan], [3, 2]])


def test_scores_of_one_family_are_reported_under_one_name():
    vectors = [RewardVector({"rubric/dose": 1.0, "rubric/tone": 0.0, "length": -1.0})]
    batch = of(vectors, [0])
    assert batch.families == ("rubric", "length")
    np.testing.assert_equal(batch.family_BM.numpy(), [[0, 0, 1]])


def test_a_rubrics_categories_are_reported_one_by_one():
    vectors = [RewardVector({"rubric/Essential/1": 1.0, "rubric/Pitfall/2": 0.0, "rubric/Essential/3": 0.0})]
    batch = of(vectors, [0])
    assert batch.families == ("rubric/Essential", "rubric/Pitfall")
    np.testing.assert_equal(batch.family_BM.numpy(), [[0, 1, 0]])


def test_no_rewards_at_all_is_an_empty_batch():
    assert of([RewardVector({})], [0]).rewards_BM.shape == (1, 0)


def test_a_vector_survives_its_journey_as_text():
    vector = RewardVector(
        {"a": 1.5, "b": None, "ü/x": 0.1 + 0.2}, {"a": 2.0}, {"b": "TimeoutError: 1 s"}, {"a": 0.5}
    )
    assert RewardVector.loads(vector.dumps()) == vector


COLUMNS = {
    "format": np.array([1.0, 0.0, 1.0, 0.5]),
    "correct": np.array([None, 2, float("inf"), np.float32(0.25)], dtype=object),
}


def test_columns_and_vectors_of_the_same_rewards_are_the_same_batch():
    groups = np.array(["b", "a", "b", "a"], dtype=object)
    weights = {"format": 0.5, "correct": 2.0}
    vectors = [
        RewardVector({"format": 1.0, "correct": None}, weights),
        RewardVector({"format": 0.0, "correct": 2.0}, weights),
        RewardVector({"format": 1.0, "correct": None}, weights),
        RewardVector({"format": 0.5, "correct": 0.25}, weights),
    ]
    lengths = torch.tensor([3, 1, 2, 4])
    columns = RewardBatch.from_columns(COLUMNS, groups, lengths, weights=weights)
    for name, value in vars(RewardBatch.from_vectors(vectors, groups, lengths)).items():
        np.testing.assert_array_equal(getattr(columns, name), value)


def test_keys_with_a_common_prefix_are_families_of_their_own():
    columns = {"reward/format": [1.0], "reward/correct": [2.0]}
    batch = RewardBatch.from_columns(columns, np.array([0]), torch.ones(1))
    assert batch.families == ("reward/format", "reward/correct")
    assert batch.family_BM.tolist() == [[0, 1]]


def test_a_column_that_holds_no_number_is_refused_with_its_row():
    with pytest.raises(UserError, match=r"'correct' holds 'yes' of type str in row 1"):
        RewardBatch.from_columns({"correct": [1.0, "yes"]}, np.array([0, 0]), torch.ones(2))


def test_a_response_without_trained_tokens_takes_part_in_nothing():
    batch = RewardBatch(torch.ones(3, 1), torch.zeros(3, dtype=torch.long), torch.tensor([2, 0, 1]))
    assert batch.valid_B.tolist() == [True, False, True]

import numpy as np

from rvpo_verl.core.batch import RewardMatrix
from rvpo_verl.rewards.vector import RewardVector


def test_prompts_with_different_rewards_share_columns():
    vectors = [
        RewardVector({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 0.5}),
        RewardVector({"b": 3.0, "a": None}, {"a": 1.0, "b": 0.5}),
        RewardVector({"c": 4.0}),
    ]
    matrix = RewardMatrix.from_vectors(vectors, np.array([0, 0, 1]))
    np.testing.assert_equal(matrix.rewards_BM, [[1, 2], [np.nan, 3], [4, np.nan]])
    np.testing.assert_equal(matrix.weights_BM, [[1, 0.5], [1, 0.5], [1, 0]])
    assert matrix.families == ["a", "b", "c"]
    np.testing.assert_equal(matrix.family_BM, [[0, 1], [0, 1], [2, -1]])


def test_a_column_is_one_reward_for_all_responses_of_its_group():
    vectors = [RewardVector({"x": 1.0}), RewardVector({"y": 2.0, "x": 3.0})]
    matrix = RewardMatrix.from_vectors(vectors, np.array([0, 0]))
    np.testing.assert_equal(matrix.rewards_BM, [[1, np.nan], [3, 2]])


def test_scores_of_one_family_are_reported_under_one_name():
    vectors = [RewardVector({"rubric/dose": 1.0, "rubric/tone": 0.0, "length": -1.0})]
    matrix = RewardMatrix.from_vectors(vectors, np.array([0]))
    assert matrix.families == ["rubric", "length"]
    np.testing.assert_equal(matrix.family_BM, [[0, 0, 1]])


def test_a_rubrics_categories_are_reported_one_by_one():
    vectors = [RewardVector({"rubric/Essential/1": 1.0, "rubric/Pitfall/2": 0.0, "rubric/Essential/3": 0.0})]
    matrix = RewardMatrix.from_vectors(vectors, np.array([0]))
    assert matrix.families == ["rubric/Essential", "rubric/Pitfall"]
    np.testing.assert_equal(matrix.family_BM, [[0, 1, 0]])


def test_no_rewards_at_all_is_an_empty_matrix():
    assert RewardMatrix.from_vectors([RewardVector({})], np.array([0])).rewards_BM.shape == (1, 0)


def test_a_vector_survives_its_journey_as_text():
    vector = RewardVector(
        {"a": 1.5, "b": None, "ü/x": 0.1 + 0.2}, {"a": 2.0}, {"b": "TimeoutError: 1 s"}, {"a": 0.5}
    )
    assert RewardVector.loads(vector.dumps()) == vector

"""The parts of the V1 attachment that need no running trainer; launcher runs are elsewhere."""

from verl.trainer.ppo.v1.utils import MetricsAggregator

from rvpo_verl.attach.sessions import last_output_of_session


def test_rows_of_a_session_are_owned_by_its_last_output():
    keys = ["a_b_0_0", "a_b_0_2", "a_b_1_0", "a_b_0_1", "c_0_10", "c_0_9"]
    assert last_output_of_session(keys).tolist() == [1, 1, 2, 1, 4, 4]


def test_verl_averages_our_metrics_whatever_the_reward_is_called():
    aggregator = MetricsAggregator()
    for value in (1.0, 3.0):
        aggregator.add_step_metrics(
            {"rvpo/summary/mean": value, "rvpo/max_steps/weight": value, "training/global_step": value},
            sample_count=1,
        )
    assert aggregator.get_aggregated_metrics()["rvpo/summary/mean"] == 2.0
    assert aggregator.get_aggregated_metrics()["rvpo/max_steps/weight"] == 2.0

"""The parts of the V1 attachment that need no running trainer; launcher runs are elsewhere."""

from types import SimpleNamespace

import pytest
import transfer_queue
from verl.trainer.ppo.v1.utils import MetricsAggregator

from rvpo_verl.attach.sessions import last_output_of_session
from rvpo_verl.attach.v1 import _columns
from rvpo_verl.rewards.vector import KEY


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


@pytest.mark.parametrize("colocated", [False, True])
def test_only_the_last_output_of_a_session_is_fetched_and_stands_for_all_of_it(monkeypatch, colocated):
    keys = ["a_0_0", "a_1_0", "a_0_1", "b_0_0"]
    info = {key: {"x": float(row), KEY: f"vector {row}"} for row, key in enumerate(keys)}
    if not colocated:
        del info["b_0_0"][KEY]  # not every row was scored by our manager: all keys are looked at
    fetched = []

    def get(keys, partition_id, select_fields):
        fetched.extend(keys)
        rows = [{"x": info[key]["x"], "extra_fields": {"reward_extra_info": info[key]}} for key in keys]
        return {field: [row[field] for row in rows] for field in select_fields}

    monkeypatch.setattr(transfer_queue, "kv_batch_get", get)
    reward_model = SimpleNamespace(enable=colocated, enable_resource_pool=False)
    trainer = SimpleNamespace(config=SimpleNamespace(reward=SimpleNamespace(reward_model=reward_model)))
    batch = SimpleNamespace(keys=keys, partition_id="train")
    columns = _columns(trainer, batch, SimpleNamespace(keys=[KEY, "x"]), last_output_of_session(keys))
    assert sorted(fetched) == ["a_0_1", "a_1_0", "b_0_0"]
    assert columns.pop("x") == [2.0, 1.0, 2.0, 3.0]
    assert columns == ({} if colocated else {KEY: ["vector 2", "vector 1", "vector 2", None]})

"""What is written of a batch; that it is right is tested through the launcher."""

import torch
from omegaconf import OmegaConf

from rvpo_verl.attach.dumps import sampled_rows, trained_columns
from rvpo_verl.names import SETTINGS, TRAINED

GROUPS = [f"g{row % 40}" for row in range(160)]


def config(estimator="rvpo", **options):
    return OmegaConf.create({"algorithm": {"adv_estimator": estimator, "rvpo": options}})


def test_everything_is_written_unless_asked_otherwise():
    assert sampled_rows(config(), 7, GROUPS) == list(range(160))


def test_whole_groups_are_written_others_in_another_step():
    chosen = {}
    for step in (5, 10):
        rows = sampled_rows(config(dump_groups=8, dump_freq=5), step, GROUPS)
        chosen[step] = {GROUPS[row] for row in rows}
        assert len(chosen[step]) == 8 and len(rows) == 8 * 4
        assert rows == sampled_rows(config(dump_groups=8, dump_freq=5), step, GROUPS)
    assert chosen[5] != chosen[10]
    assert sampled_rows(config(dump_groups=8, dump_freq=5), 6, GROUPS) == []


def test_the_settings_are_those_of_the_step():
    k = {"schedule": "linear", "from": 0.0, "to": 2.0}
    tensors = torch.tensor([[0.0, 0.5, 0.5], [9.0, 9.0, 9.0]]), torch.tensor([[0, 1, 1], [0, 0, 0]])
    columns = trained_columns(config(k=k, bonus=0.5), 3, 5, *tensors)
    assert columns[TRAINED] == [0.5, None]
    assert columns[SETTINGS][0]["k"] == 1.0 and columns[SETTINGS][0]["bonus"] == 0.5
    assert trained_columns(config(k=float("inf")), 1, 5, *tensors)[SETTINGS][0]["k"] == "inf"
    assert trained_columns(config("grpo"), 1, 5, *tensors)[SETTINGS][0] == {"estimator": "grpo"}

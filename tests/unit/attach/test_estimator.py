"""The estimator as verl calls it, in a call as an attachment opens it."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from rvpo_verl.attach.adapter import Adapter, Rows
from rvpo_verl.attach.estimator import Call, compute_rvpo_advantage, opened
from rvpo_verl.core import RewardBatch, Settings, compute
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.vector import KEY, RewardVector


def call(scores, index, *, lengths=None, padding=None, owner=None, step=1, total=10, **options):
    rows = len(scores)
    lengths = torch.tensor(lengths or [3] * rows)
    mask_BT = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    given = Rows(
        columns={KEY: [RewardVector(row).dumps() for row in scores]},
        step=step,
        total_steps=total,
        is_padding_B=None if padding is None else np.array(padding),
        owner_B=None if owner is None else np.array(owner),
    )
    adapter = Adapter(OmegaConf.create({"rvpo": options}))
    with opened(Call(adapter, metrics={}, rows=given)) as call:
        advantages_BT, returns_BT = compute_rvpo_advantage(
            token_level_rewards=torch.zeros(mask_BT.shape),
            response_mask=mask_BT,
            index=np.array(index, dtype=object),
        )
    assert torch.equal(advantages_BT, returns_BT)
    return advantages_BT, call.metrics


SCORES = [{"a": 1.0, "b": 0.2}, {"a": 0.0, "b": 0.9}, {"a": 1.0, "b": 0.4}, {"a": 0.5, "b": None}]


def test_equals_the_mathematics_on_the_same_matrix():
    advantages_BT, _ = call(SCORES, ["x", "y", "x", "y"], lengths=[1, 2, 3, 4], k=1.5)
    rewards_BM = torch.tensor([[1, 0.2], [0, 0.9], [1, 0.4], [0.5, float("nan")]], dtype=torch.float64)
    batch = RewardBatch(rewards_BM, torch.tensor([0, 1, 0, 1]), torch.tensor([1, 2, 3, 4]))
    expected = compute(batch, Settings(k=1.5))
    np.testing.assert_allclose(advantages_BT[:, 0], expected.advantages_B, atol=1e-6)
    assert advantages_BT.dtype == torch.float32
    assert (advantages_BT[0, 1:] == 0).all()


def test_order_of_the_names_does_not_matter():
    swapped = [dict(reversed(row.items())) for row in SCORES]
    assert torch.equal(call(SCORES, [0, 0, 1, 1])[0], call(swapped, [0, 0, 1, 1])[0])


def test_padding_rows_change_nothing_and_receive_nothing():
    plain, metrics = call(SCORES, ["x", "x", "y", "y"])
    padded, padded_metrics = call(
        [*SCORES, SCORES[0]], ["x", "x", "y", "y", "x"], padding=[False] * 4 + [True]
    )
    assert torch.equal(padded[:4], plain)
    assert not padded[4].any()
    assert padded_metrics == metrics


def test_an_agent_session_counts_once_and_all_its_outputs_get_its_advantage():
    # Rows 1 and 2 are two outputs of one session; the last one's rewards stand for it.
    scores = [SCORES[0], SCORES[3], SCORES[1], SCORES[2]]
    sessions, metrics = call(scores, ["x"] * 4, owner=[0, 2, 2, 3], lengths=[4, 1, 3, 4])
    plain, plain_metrics = call(SCORES[:3], ["x"] * 3, lengths=[4, 4, 4])
    assert torch.equal(sessions[[0, 2, 3], 0], plain[:, 0])
    assert torch.equal(sessions[1, 0], sessions[2, 0])
    assert metrics == plain_metrics


def test_the_schedule_follows_the_step_and_is_logged():
    k = {"schedule": "linear", "from": 0.5, "to": 2.0}
    assert call(SCORES, [0, 0, 1, 1], step=1, total=4, k=k)[1]["rvpo/k"] == 0.5
    assert call(SCORES, [0, 0, 1, 1], step=3, total=4, k=k)[1]["rvpo/k"] == 1.5


def test_aggregations_without_k_need_no_step():
    k = {"schedule": "linear", "from": 0.5, "to": 2.0}
    _, metrics = call(SCORES, [0, 0, 1, 1], step=None, total=None, k=k, aggregation="mean")
    assert "rvpo/k" not in metrics


def test_outside_of_a_call_it_says_how_to_be_called():
    with pytest.raises(ConfigError, match=r"compute_advantage.*doctor"):
        compute_rvpo_advantage(torch.zeros(2, 3), torch.ones(2, 3), index=np.array([0, 0]))


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"4 rows, but 3 group ids and 4 values of rvpo_rewards"):
        call(SCORES, [0, 0, 1])

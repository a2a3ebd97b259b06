"""`compute_advantage` on its own, as notebooks and other trainers call it; launcher runs are elsewhere."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.ray_trainer import compute_advantage

from rvpo_verl.errors import ConfigError, UserError
from rvpo_verl.rewards.vector import KEY, RewardVector

KEYS = ["format", "correct"]


def batch(seed=0, groups=3, size=4, tokens=7, **columns):
    generator = torch.Generator().manual_seed(seed)
    B = groups * size
    mask_BT = (torch.arange(tokens) < torch.randint(1, tokens + 1, (B, 1), generator=generator)).long()
    prompts = torch.zeros(B, 3, dtype=torch.long)
    columns = columns or {key: torch.rand(B, generator=generator).numpy() for key in KEYS}
    return DataProto.from_dict(
        tensors={
            "token_level_rewards": torch.zeros(B, tokens),
            "response_mask": mask_BT,
            "prompts": prompts,
            "attention_mask": torch.cat([torch.ones_like(prompts), mask_BT], dim=1),
        },
        non_tensors={
            "uid": np.array([f"prompt-{row % groups}" for row in range(B)], dtype=object),
            **columns,
        },
    )


def advantages(data, estimator="rvpo", **algorithm):
    config = OmegaConf.create(algorithm)
    return compute_advantage(data, estimator, config=config).batch["advantages"].clone()


@pytest.mark.parametrize("seed", range(5))
def test_mean_equals_verls_gdpo_on_the_same_batch(seed):
    rvpo = advantages(batch(seed), gdpo_reward_keys=KEYS, rvpo={"aggregation": "mean"})
    gdpo = advantages(batch(seed), "gdpo", gdpo_reward_keys=KEYS)
    torch.testing.assert_close(rvpo, gdpo, atol=1e-5, rtol=1e-5)


def test_one_word_switches_from_gdpo_with_its_keys_and_weights():
    keys = {"gdpo_reward_keys": KEYS, "gdpo_reward_weights": [1.0, 3.0]}
    own = {"rvpo": {"reward_keys": KEYS, "reward_weights": {"correct": 3.0}}}
    assert torch.equal(advantages(batch(), **keys), advantages(batch(), **own))
    assert not torch.allclose(advantages(batch(), **keys), advantages(batch(), "gdpo", **keys))


def test_vectors_of_the_manager_come_before_keys():
    plain = batch()
    vectors = [
        RewardVector({key: float(plain.non_tensor_batch[key][row]) for key in KEYS}).dumps()
        for row in range(len(plain))
    ]
    for column in (np.array(vectors, dtype=object), np.array(vectors)):  # verl makes either
        carried = batch(**{KEY: column})
        assert torch.equal(advantages(carried), advantages(plain, gdpo_reward_keys=KEYS))


def test_a_schedule_follows_the_step_in_meta_info():
    k = {"schedule": "linear", "from": 0.5, "to": 2.0}
    data = batch()
    data.meta_info |= {"global_steps": 3, "total_training_steps": 4}
    scheduled = advantages(data, gdpo_reward_keys=KEYS, rvpo={"k": k})
    assert torch.equal(scheduled, advantages(batch(), gdpo_reward_keys=KEYS, rvpo={"k": 1.5}))


def test_a_schedule_without_a_step_says_what_to_set():
    k = {"schedule": "linear", "from": 0.5, "to": 2.0}
    with pytest.raises(ValueError, match=r'meta_info\["global_steps"\]'):
        advantages(batch(), gdpo_reward_keys=KEYS, rvpo={"k": k})


def test_a_key_that_no_row_has_is_refused_with_those_there():
    with pytest.raises(ConfigError, match=r"absent: \['tone'\], there: \['correct', 'format', 'uid'\]"):
        advantages(batch(), gdpo_reward_keys=["format", "tone"])


def test_a_key_that_holds_no_number_is_refused():
    columns = {"format": np.ones(12), "correct": np.array(["yes"] * 12, dtype=object)}
    with pytest.raises(UserError, match=r"'correct' holds 'yes' of type str"):
        advantages(batch(**columns), gdpo_reward_keys=KEYS)


def test_no_keys_at_all_is_refused():
    with pytest.raises(ConfigError, match="no reward vectors in the batch"):
        advantages(batch())


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_gdpo_weights_that_cannot_be_used_are_refused(weights):
    with pytest.raises(ConfigError, match="gdpo_reward_weights"):
        advantages(batch(), gdpo_reward_keys=KEYS, gdpo_reward_weights=weights)


def test_other_estimators_are_left_alone():
    assert advantages(batch(), "grpo").shape == (12, 7)


def test_asynchronous_trainers_hand_over_step_and_metrics():
    """The method of the one-step-off and fully asynchronous trainers, on an object that has what it reads."""
    from types import SimpleNamespace

    from verl.experimental.separation.ray_trainer import SeparateRayPPOTrainer

    algorithm = {
        "adv_estimator": "rvpo", "gdpo_reward_keys": KEYS, "gamma": 1.0, "lam": 1.0, "use_kl_in_reward": False,
        "rvpo": {"k": {"schedule": "linear", "from": 0.5, "to": 2.0}},
    }  # fmt: skip
    data = batch()
    data.batch["token_level_scores"] = data.batch.pop("token_level_rewards")
    trainer = SimpleNamespace(
        config=OmegaConf.create(
            {
                "algorithm": algorithm,
                "actor_rollout_ref": {"rollout": {"n": 4}},
                "reward": {"reward_manager": {"name": "naive"}},
            }
        ),
        metrics={},
        timing_raw={},
        global_steps=3,
        total_training_steps=4,
        reward_tensor=data.batch["token_level_scores"],
        reward_extra_infos_dict={},
    )
    computed = SeparateRayPPOTrainer._fit_compute_advantage(trainer, data)
    assert trainer.metrics["rvpo/k"] == 1.5
    expected = advantages(batch(), gdpo_reward_keys=KEYS, rvpo={"k": 1.5})
    torch.testing.assert_close(computed.batch["advantages"], expected)

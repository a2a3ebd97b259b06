"""The experiment's methods are what verl's trainers compute: through `compute_advantage`, on a batch of verl's."""

import numpy as np
import pytest
import torch
from experiment.methods import METHODS, compute
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.ray_trainer import compute_advantage

GROUP, GROUPS, TOKENS = 8, 8, 13
KEYS = ["format", "correct", "safe", "judge"]


def batch(seed):
    """Rewards with ties and constant columns, and lengths."""
    generator = torch.Generator().manual_seed(seed)
    rewards_NM = torch.randint(0, 3, (GROUP * GROUPS, len(KEYS)), generator=generator).float()
    rewards_NM[:GROUP] = 1.0
    rewards_NM[GROUP : 2 * GROUP, 1] = 0.0
    length_N = torch.randint(1, TOKENS + 1, (GROUP * GROUPS,), generator=generator)
    return rewards_NM, length_N


def of_verl(rewards_NM, length_N, estimator, **rvpo):
    mask = (torch.arange(TOKENS) < length_N[:, None]).long()
    scores = torch.zeros(mask.shape).scatter(1, length_N[:, None] - 1, rewards_NM.sum(dim=1, keepdim=True))
    prompts = torch.zeros(len(mask), 2, dtype=torch.long)
    data = DataProto.from_dict(
        tensors={
            "token_level_rewards": scores,
            "response_mask": mask,
            "prompts": prompts,
            "attention_mask": torch.cat([torch.ones_like(prompts), mask], dim=1),
        },
        non_tensors={
            "uid": np.array([str(row // GROUP) for row in range(len(mask))], dtype=object),
            **{key: rewards_NM[:, column].numpy() for column, key in enumerate(KEYS)},
        },
    )
    data.meta_info |= {"global_steps": 3, "total_training_steps": 10}
    config = OmegaConf.create({"gdpo_reward_keys": KEYS, "rvpo": rvpo})
    computed = compute_advantage(data, estimator, config=config).batch["advantages"]
    return (computed * mask)[:, 0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "estimator", "rvpo"),
    [
        ("grpo", "grpo", {}),
        ("gdpo", "gdpo", {}),
        ("k2", "rvpo", {"center_groups": False}),
        ("k5+c", "rvpo", {"k": 5.0}),
        ("rising", "rvpo", {"center_groups": False, "k": {"schedule": "linear", "from": 0.5, "to": 2.0}}),
        ("variance", "rvpo", {"center_groups": False, "aggregation": "variance"}),
        ("min", "rvpo", {"center_groups": False, "aggregation": "min"}),
        ("guarded5", "rvpo", {"k": 5.0, "bonus": 1.0}),
    ],
)
def test_a_method_is_verls_estimator(name, estimator, rvpo, seed):
    rewards_NM, length_N = batch(seed)
    expected = of_verl(rewards_NM, length_N, estimator, **rvpo)
    ours = compute(METHODS[name], rewards_NM[None], length_N[None].float(), GROUP, 3, 10).advantage_RN[0]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)

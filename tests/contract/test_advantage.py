"""Both ways on which the installed verl computes advantages hand the estimator rewards, step and metrics."""

import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import verl.trainer.ppo.ray_trainer as v0
from omegaconf import OmegaConf
from packaging.version import Version
from tensordict import NonTensorData, NonTensorStack, TensorDict
from verl import DataProto

from rvpo_verl.attach import adapter
from rvpo_verl.attach.adapter import Adapter
from rvpo_verl.attach.estimator import Call, opened
from rvpo_verl.attach.hooks import verl_version
from rvpo_verl.attach.native_api import supports_extras
from rvpo_verl.core import RewardBatch, Settings, compute
from rvpo_verl.core.advantage import broadcast
from rvpo_verl.core.monitor import WINDOW
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.vector import KEY, RewardVector

VERSION = Version(verl_version())
GROUPS = np.array(["a"] * 3 + ["b"] * 3, dtype=object)
REWARDS_BM = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
LENGTH_B = torch.tensor([2, 3, 1, 2, 2, 3])
MASK_BT = (torch.arange(3) < LENGTH_B[:, None]).long()
VECTORS = [RewardVector({"x": float(x), "y": float(y)}).dumps() for x, y in REWARDS_BM]
SCHEDULE = {"schedule": "linear", "from": 0.5, "to": 2.0}


def expected(k):
    group_B = torch.tensor([0, 0, 0, 1, 1, 1])
    result = compute(RewardBatch(REWARDS_BM.double(), group_B, LENGTH_B), Settings(k=k))
    return broadcast(result.advantages_B, MASK_BT)


def configuration():
    return OmegaConf.create(
        {
            "algorithm": {
                "adv_estimator": "rvpo", "gamma": 1.0, "lam": 1.0, "use_kl_in_reward": False,
                "rvpo": {"k": SCHEDULE},
            },
            "actor_rollout_ref": {"rollout": {"n": 3}},
            "reward": {
                "reward_manager": {"name": "rvpo"},
                "reward_model": {"enable": False, "enable_resource_pool": False},
                "rvpo": {"rewards": {"x": {}, "y": {}}},
            },
        }
    )  # fmt: skip


@pytest.fixture
def recorded(monkeypatch):
    """Step, steps of the run and metrics at each computation."""
    seen = []

    def recording(batch, settings, step, total_steps):
        result = compute(batch, settings, step, total_steps)
        seen.append((step, total_steps, result.metrics))
        return result

    monkeypatch.setattr(adapter, "compute", recording)
    return seen


def test_compute_advantage_passes_rewards_and_step(recorded):
    rewards_BT = torch.zeros(MASK_BT.shape)
    data = DataProto(
        batch=TensorDict({"token_level_rewards": rewards_BT, "response_mask": MASK_BT}, batch_size=6),
        non_tensor_batch={"uid": GROUPS, KEY: np.array(VECTORS, dtype=object)},
        meta_info={"global_steps": 3, "total_training_steps": 4},
    )
    computed = v0.compute_advantage(data, adv_estimator="rvpo", config=configuration().algorithm)
    torch.testing.assert_close(computed.batch["advantages"], expected(k=1.5))
    assert recorded[0][:2] == (3, 4)
    assert recorded[0][2]["rvpo/k"] == 1.5


@pytest.fixture
def on_transfer_queue(monkeypatch):
    """`PPOTrainer._compute_advantage` itself, on a store in the place of TransferQueue's."""
    if Version("0.9") <= VERSION:
        import verl.trainer.ppo.v1.trainer_base as module
    else:
        module = pytest.importorskip("verl.trainer.main_ppo_sync", reason="no trainer on TransferQueue")
    import transfer_queue

    def nested(rows):
        return torch.nested.as_nested_tensor(rows, layout=torch.jagged)

    infos = [
        {KEY: vector, "x": float(x), "y": float(y)}
        for vector, (x, y) in zip(VECTORS, REWARDS_BM, strict=True)
    ]
    store = {
        "uid": NonTensorStack(*[NonTensorData(uid) for uid in GROUPS]),
        "rm_scores": nested([torch.zeros(length) for length in LENGTH_B]),
        "extra_fields": NonTensorStack(*[NonTensorData({"reward_extra_info": info}) for info in infos]),
    }
    written = {}

    def get(keys, partition_id, select_fields):
        there = {field: store[field] for field in select_fields if field in store}
        return TensorDict(there, batch_size=len(keys))

    def put(keys, partition_id, fields, **_):
        written.update(fields.items())
        return transfer_queue.KVBatchMeta(keys=keys, tags=[{}] * len(keys), partition_id=partition_id)

    monkeypatch.setattr(transfer_queue, "kv_batch_get", get)
    monkeypatch.setattr(transfer_queue, "kv_batch_put", put)

    def compute(config, mask_BT=MASK_BT):
        masks = [mask[:length] for mask, length in zip(mask_BT, LENGTH_B, strict=True)]
        store["response_mask"] = nested(masks)
        trainer = SimpleNamespace(config=config, global_steps=3, total_training_steps=4)
        keys = [f"{uid}_{row}_0" for row, uid in enumerate(GROUPS)]
        batch = transfer_queue.KVBatchMeta(keys=keys, tags=[{}] * 6, partition_id="train")
        metrics = {}
        module.PPOTrainer._compute_advantage(trainer, batch, metrics)
        return written["advantages"].to_padded_tensor(0.0, (6, MASK_BT.shape[1])), metrics

    compute.written = written
    return compute


def test_the_trainer_on_transfer_queue_passes_rewards_step_and_metrics(recorded, on_transfer_queue):
    advantages_BT, metrics = on_transfer_queue(configuration())
    torch.testing.assert_close(advantages_BT, expected(k=1.5))
    assert recorded[0][:2] == (3, 4)
    assert metrics["rvpo/k"] == 1.5
    assert metrics["rvpo/x/failed"] == 0.0


@pytest.mark.parametrize(
    ("mode", "updates"), [("sync", 1), ("colocate_async", 1), ("separate_async", 1), ("separate_async", 3)]
)
def test_every_mode_of_trainer_v1_computes_its_advantages_by_it_in_a_step(
    recorded, on_transfer_queue, mode, updates
):
    """The mode's own `step`, with what needs workers left out: generation, log-probabilities, the update."""
    base = pytest.importorskip("verl.trainer.ppo.v1.trainer_base", reason="trainer V1 is verl 0.9's")
    import verl.trainer.ppo.v1 as v1
    from transfer_queue import KVBatchMeta

    on_transfer_queue(configuration())  # fills the store
    recorded.clear()
    trainer = object.__new__(v1.get_trainer_cls(mode))
    assert type(trainer)._compute_advantage is base.PPOTrainer._compute_advantage
    config = configuration()
    config.trainer = {"critic_warmup": 0}
    config.data = {"train_batch_size": 2 * updates}
    config.actor_rollout_ref.rollout.temperature = 1.0
    trainer.config, trainer.parameter_sync_step = config, updates
    trainer.global_steps, trainer.total_training_steps = 3, 4
    trainer.use_reference_policy = trainer.use_critic = False
    trainer.reward_loop_manager = SimpleNamespace(reward_loop_worker_handles=[None])
    trainer.prepare_step = dict
    trainer.on_sample_begin = trainer.on_sample_end = lambda: None
    updated = []

    def sample(global_steps, partition_id, batch_size):
        keys = [f"{uid}-{len(updated)}_{row}_0" for row, uid in enumerate(GROUPS)]
        return KVBatchMeta(keys=keys, tags=[{}] * 6, partition_id=partition_id, extra_info={}), {}

    trainer.replay_buffer = SimpleNamespace(sample=sample)
    trainer._balance_batch = trainer._compute_old_log_prob = lambda batch, metrics: batch
    trainer._update_actor = lambda batch, metrics: updated.append(dict(metrics)) or batch
    metrics = {}
    trainer.step(metrics, {})
    assert len(updated) == updates
    assert [step[:2] for step in recorded] == [(3, 4)] * updates
    torch.testing.assert_close(
        on_transfer_queue.written["advantages"].to_padded_tensor(0.0, (6, 3)), expected(1.5)
    )
    assert metrics["rvpo/k"] == 1.5


def by_v0(config, mask_BT=MASK_BT):
    """The same batch as it is computed within a trainer V0."""
    metrics = {}
    steps = {"global_steps": 3, "total_training_steps": 4}
    data = DataProto(
        batch=TensorDict(
            {"token_level_rewards": torch.zeros(MASK_BT.shape), "response_mask": mask_BT}, batch_size=6
        ),
        non_tensor_batch={"uid": GROUPS, KEY: np.array(VECTORS, dtype=object)},
    )
    arguments = {"adv_estimator": "rvpo", "config": config.algorithm}
    if supports_extras(v0.compute_advantage):
        extras = {"metrics": metrics, "trainer_config": config, **steps}
        v0.compute_advantage(data, **arguments, extras=extras)
    else:
        with opened(Call(Adapter.of(config), metrics, trainer=SimpleNamespace(**steps))):
            v0.compute_advantage(data, **arguments)
    return data.batch["advantages"], metrics


def test_v0_and_the_trainer_on_transfer_queue_give_the_same_advantages_and_metrics(on_transfer_queue):
    """Over as many steps as the monitor needs to have something to say."""
    config, other = configuration(), configuration()
    for _ in range(WINDOW):
        v0_advantages_BT, v0_metrics = by_v0(config)
        v1_advantages_BT, v1_metrics = on_transfer_queue(other)
    assert torch.equal(v0_advantages_BT, v1_advantages_BT)
    assert v0_metrics == v1_metrics
    assert {"rvpo/k", "rvpo/x/mean", "rvpo/x/failed", "rvpo/x/frozen", "rvpo/x/neglected"} <= set(v0_metrics)


@pytest.mark.parametrize("trainer", ["v0", "on_transfer_queue"])
def test_a_response_without_trained_tokens_takes_no_part_in_its_group(request, trainer):
    """As rollout correction rejects it: verl empties its mask."""
    advantages = by_v0 if trainer == "v0" else request.getfixturevalue(trainer)
    rejected, others = 1, [0, 2, 3, 4, 5]
    mask_BT = MASK_BT.clone()
    mask_BT[rejected] = 0
    advantages_BT, metrics = advantages(configuration(), mask_BT)
    group_B = torch.tensor([0, 0, 1, 1, 1])
    alone = compute(RewardBatch(REWARDS_BM[others].double(), group_B, LENGTH_B[others]), Settings(k=1.5))
    torch.testing.assert_close(advantages_BT[others], broadcast(alone.advantages_B, MASK_BT[others]))
    assert not advantages_BT[rejected].any()
    assert metrics["rvpo/x/mean"] == REWARDS_BM[others, 0].double().mean()


def test_the_configuration_is_parsed_once_a_trainer(on_transfer_queue, monkeypatch):
    parsed = []
    original = adapter.advantage_config
    monkeypatch.setattr(
        adapter, "advantage_config", lambda algorithm: parsed.append(algorithm) or original(algorithm)
    )
    config = configuration()
    for _ in range(3):
        on_transfer_queue(config)
        by_v0(config)
    assert len(parsed) == 1


@pytest.mark.skipif(not supports_extras(v0.compute_advantage), reason="of a verl with one of patches/")
def test_a_patched_verl_trains_its_own_gdpo_on_transfer_queue(on_transfer_queue):
    gdpo = {"algorithm": {"adv_estimator": "gdpo", "gdpo_reward_keys": ["x", "y"]}}
    config = OmegaConf.merge(configuration(), gdpo)
    advantages_BT, _ = on_transfer_queue(config)
    torch.testing.assert_close(advantages_BT, expected(k=0.0), atol=1e-5, rtol=0)


@pytest.mark.skipif(not supports_extras(v0.compute_advantage), reason="of a verl with one of patches/")
def test_nothing_is_wrapped_around_v0_of_a_patched_verl():
    assert not hasattr(v0.compute_advantage, "_wrapped_by_rvpo")
    assert not hasattr(inspect.unwrap(v0.RayPPOTrainer).fit, "_wrapped_by_rvpo")


@pytest.mark.skipif(not supports_extras(v0.compute_advantage), reason="of a verl with one of patches/")
def test_nothing_is_wrapped_around_the_trainer_on_transfer_queue_of_a_patched_verl(on_transfer_queue):
    on_transfer_queue(configuration())
    trainers = [
        module for name, module in sys.modules.items() if name.endswith(("trainer_base", "main_ppo_sync"))
    ]
    assert trainers
    assert not any(hasattr(module.PPOTrainer._compute_advantage, "_wrapped_by_rvpo") for module in trainers)


def test_responses_that_an_agent_loop_scored_itself_are_named_as_such():
    rows = adapter.Rows({KEY: [VECTORS[0], *[None] * 5], "x": [1.0, *[None] * 5]})
    with pytest.raises(
        ConfigError, match=r"only 1 responses of the batch.*agent loop sets `reward_score` itself"
    ):
        Adapter.of(configuration()).advantages(rows, MASK_BT, GROUPS, torch.device("cpu"))

"""Loaded into a launcher run next to the plugin; writes to `RECORDER_FILE` what the run's own logs do not show.

One JSON line for each batch: on V0, how far the advantages of verl's `gdpo` and of `rvpo` with the mean differ on the
same batch; on V1, the advantages of padding rows and of real rows.
"""

import contextvars
import copy
import functools
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import wrapt

from rvpo_verl.rewards.vector import KEY, RewardVector


def write(**line):
    with open(os.environ["RECORDER_FILE"], "a") as file:
        file.write(json.dumps(line) + "\n")


def score_of(vector):
    """What the manager reports as the score where all rewards have weight 1: a missing one is left out of the mean."""
    present = [score for score in vector.scores.values() if score is not None]
    return sum(present) * len(vector.scores) / max(1, len(present))


def record_v0(module):
    original = module.compute_advantage

    @functools.wraps(original)
    def compute_advantage(data, adv_estimator, *args, config=None, **kwargs):
        from omegaconf import OmegaConf

        line = {}
        if "prompts" in data.batch:  # V1 calls this function too, without what gdpo needs
            with_mean = OmegaConf.merge(config, {"rvpo": {"aggregation": "mean"}})
            keyed = copy.deepcopy(data)
            keyed.non_tensor_batch.pop(KEY, None)  # the rewards of `gdpo_reward_keys` alone
            # As called on its own, with this configuration instead of the trainer's.
            alone: Callable[..., Any] = functools.partial(contextvars.Context().run, original)
            options = {name: value for name, value in kwargs.items() if name != "extras"}
            gdpo, rvpo = (
                alone(copy.deepcopy(keyed), name, *args, config=with_mean, **options).batch["advantages"]
                for name in ("gdpo", "rvpo")
            )
            line = {
                "trained": adv_estimator,
                "difference": float((gdpo - rvpo).abs().max()),
                "largest": float(gdpo.abs().max()),
            }
        result = original(data, adv_estimator, *args, config=config, **kwargs)
        if line:
            received = result.batch["advantages"][result.batch["response_mask"] == 0]
            write(**line, received=len(received), received_advantage=float(received.abs().max()))
        return result

    module.compute_advantage = compute_advantage


def record_v1(module):
    original = module.PPOTrainer._compute_advantage

    @functools.wraps(original)
    def _compute_advantage(self, batch, metrics):
        import transfer_queue as tq

        result = original(self, batch, metrics)
        fields = ["advantages", "response_mask", "rm_scores", "extra_fields"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        real = np.array([not tag.get("is_padding", False) for tag in batch.tags])
        advantages = [row.numpy() for row in data["advantages"].unbind()]
        scores = np.array([float(row.sum()) for row in data["rm_scores"].unbind()])
        infos = [getattr(extra, "data", extra)["reward_extra_info"] for extra in list(data["extra_fields"])]
        vectors = [
            score_of(RewardVector.loads(info[KEY])) if KEY in info else score
            for info, score in zip(infos, scores, strict=True)
        ]
        tokens = np.concatenate([row for row, is_real in zip(advantages, real, strict=True) if is_real])
        masks = [row.numpy().astype(bool) for row in data["response_mask"].unbind()]
        received = np.concatenate([row[~mask] for row, mask in zip(advantages, masks, strict=True)])
        padding = [row for row, is_real in zip(advantages, real, strict=True) if not is_real]
        write(
            step=self.global_steps,
            padding=int((~real).sum()),
            received=len(received),
            received_advantage=float(np.abs(received).max(initial=0.0)),
            padding_advantage=max((float(np.abs(row).max()) for row in padding), default=0.0),
            mean=float(tokens.mean()),
            variance=float(tokens.var(ddof=1)),
            misaligned=float(np.abs(scores - np.array(vectors))[real].max()),
        )
        return result

    module.PPOTrainer._compute_advantage = _compute_advantage


wrapt.register_post_import_hook(record_v0, "verl.trainer.ppo.ray_trainer")
wrapt.register_post_import_hook(record_v1, "verl.trainer.ppo.v1.trainer_base")

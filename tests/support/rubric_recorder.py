"""Loaded into a launcher run next to the plugin; writes what each batch was trained with to `RECORDER_FILE`.

One JSON line a step: group, tokens, advantage and reward vector of each real row, and RVPO's metrics.
"""

import functools
import json
import os

import wrapt

from rvpo_verl.rewards.vector import KEY


def write(step, rows, metrics):
    line = {
        "step": step,
        "rows": rows,
        "metrics": {k: v for k, v in metrics.items() if k.startswith("rvpo/")},
    }
    with open(os.environ["RECORDER_FILE"], "a") as file:
        file.write(json.dumps(line) + "\n")


def record_v1(module):
    original = module.PPOTrainer._compute_advantage

    @functools.wraps(original)
    def _compute_advantage(self, batch, metrics):
        import transfer_queue as tq

        result = original(self, batch, metrics)
        fields = ["advantages", "uid", "extra_fields"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        rows = [
            {
                "group": str(getattr(uid, "data", uid)),
                "tokens": int((advantages != 0).sum()) or len(advantages),
                "advantage": float(advantages[0]),
                "vector": json.loads(getattr(extra, "data", extra)["reward_extra_info"][KEY]),
            }
            for tag, advantages, uid, extra in zip(
                batch.tags,
                data["advantages"].unbind(),
                list(data["uid"]),
                list(data["extra_fields"]),
                strict=True,
            )
            if not tag.get("is_padding", False)
        ]
        write(self.global_steps, rows, metrics)
        return result

    module.PPOTrainer._compute_advantage = _compute_advantage


def record_v0(module):
    original = module.compute_advantage
    steps = iter(range(1, 1000))

    @functools.wraps(original)
    def compute_advantage(data, *args, **kwargs):
        data = original(data, *args, **kwargs)
        if KEY in data.non_tensor_batch:  # V1 calls this function too, without reward vectors
            rows = [
                {
                    "group": str(data.non_tensor_batch["uid"][row]),
                    "tokens": int(data.batch["response_mask"][row].sum()),
                    "advantage": float(data.batch["advantages"][row, 0]),
                    "vector": json.loads(data.non_tensor_batch[KEY][row]),
                }
                for row in range(len(data))
            ]
            write(next(steps), rows, {})
        return data

    module.compute_advantage = compute_advantage


wrapt.register_post_import_hook(record_v1, "verl.trainer.ppo.v1.trainer_base")
wrapt.register_post_import_hook(record_v0, "verl.trainer.ppo.ray_trainer")

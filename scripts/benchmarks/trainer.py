"""What trainers pay around the estimator: fetching rewards from TransferQueue, and verl's validation of every key.

TransferQueue itself runs here, in a Ray of its own on this machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.rows import Row, median_ms
from rvpo_verl.attach import v1
from rvpo_verl.attach.sessions import last_output_of_session
from rvpo_verl.rewards.vector import KEY, RewardVector

REWARDS = [f"criterion_{index}" for index in range(17)]
VERLS_FIELDS = ["uid", "response_mask", "rm_scores", "rollout_log_probs"]
"""What `PPOTrainer._compute_advantage` itself fetches in a training without critic and reference."""
GROUP, PROMPT, RESPONSE, TOOL_OUTPUT = 16, 2048, 512, 10_000
CHUNK = 512


def measure() -> list[Row]:
    rows = []
    with _transfer_queue():
        for count, outputs, tool_output in (
            (1536, 1, 0), (1536, 1, TOOL_OUTPUT), (1536, 4, TOOL_OUTPUT), (16384, 1, 0), (16384, 4, TOOL_OUTPUT)
        ):  # fmt: skip
            rows.append(_fetch(count, outputs, tool_output))
    return [*rows, *_validation()]


@contextmanager
def _transfer_queue() -> Iterator[None]:
    import ray
    import transfer_queue

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        transfer_queue.init()
        yield
    finally:
        transfer_queue.close()
        ray.shutdown()


def _fetch(count: int, outputs: int, tool_output: int) -> Row:
    import transfer_queue

    keys = [f"u{row // (GROUP * outputs)}_{row // outputs % GROUP}_{row % outputs}" for row in range(count)]
    for start in range(0, count, CHUNK):
        _put(keys[start : start + CHUNK], tool_output, PROMPT if count < 10_000 else 16)
    reward_model = SimpleNamespace(enable=False)
    adapter: Any = SimpleNamespace(keys=[KEY])
    trainer = SimpleNamespace(config=SimpleNamespace(reward=SimpleNamespace(reward_model=reward_model)))
    batch = SimpleNamespace(keys=keys, partition_id="train")
    owner_B = last_output_of_session(keys)
    ours = median_ms(lambda: v1._columns(trainer, batch, adapter, owner_B), 5)
    verls = median_ms(
        lambda: transfer_queue.kv_batch_get(keys=keys, partition_id="train", select_fields=VERLS_FIELDS), 5
    )
    transfer_queue.kv_clear(keys=keys, partition_id="train")
    sessions = f"{outputs} output{'s' * (outputs > 1)} a session"
    return Row(
        f"fetch of rewards in V1: {count:,} rows, {sessions}, {tool_output // 1000} kB of tool output a row",
        ours,
        "ms",
        verls,
        "verl's own fetch",
    )


def _put(keys: list[str], tool_output: int, prompt: int) -> None:
    import transfer_queue
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    rng = np.random.default_rng(0)
    fields = []
    for key in keys:
        scores = dict(zip(REWARDS, rng.integers(0, 2, len(REWARDS)).astype(float).tolist(), strict=True))
        length = int(rng.integers(1, RESPONSE + 1))
        extra: dict[str, Any] = {"turn_scores": [], "tool_rewards": [], "tool_trace": ["y" * tool_output]}
        extra["reward_extra_info"] = {KEY: RewardVector(scores).dumps(), **scores, "rvpo_failed": 0.0}
        fields.append(
            {
                "prompts": torch.zeros(prompt, dtype=torch.long),
                "response_mask": torch.ones(length, dtype=torch.long),
                "rm_scores": torch.zeros(length),
                "rollout_log_probs": torch.zeros(length),
                "uid": key.split("_")[0],
                "raw_prompt": [{"role": "user", "content": "x" * 4 * prompt}],
                "extra_fields": extra,
            }
        )
    transfer_queue.kv_batch_put(
        keys=keys,
        partition_id="train",
        fields=list_of_dict_to_tensordict(fields),
        tags=[{"status": "success"}] * len(keys),
    )


def _validation() -> list[Row]:
    """verl draws 1,000 bootstrap samples for each key of each prompt, where prompts have several answers."""
    from verl.trainer.ppo.metric_utils import process_validation_metrics

    rng, prompts, answers = np.random.default_rng(0), 64, 8
    count = prompts * answers

    def seconds(keys: list[str]) -> float:
        values = {key: rng.integers(0, 2, count).astype(float).tolist() for key in keys} | {
            KEY: ["{}"] * count
        }
        uids = [f"prompt {row // answers}" for row in range(count)]
        return (
            median_ms(lambda: process_validation_metrics(["data"] * count, uids, values), 1, warm_up=0) / 1000
        )

    alone = seconds(["reward"])
    named = f"verl's validation metrics, {prompts} prompts of {answers} answers"
    return [
        Row(
            f"{named}: score and {len(REWARDS)} rewards",
            seconds(["reward", *REWARDS]),
            "s",
            alone,
            "score alone",
        ),
        Row("… the key `rvpo_failed` adds", seconds(["rvpo_failed"]), "s"),
    ]

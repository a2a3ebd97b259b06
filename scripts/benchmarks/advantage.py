"""The advantage step against verl's GDPO, and against writing its output once.

Shapes: B responses, M rewards, G responses of a group, T tokens.
"""

import ctypes
import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.rows import Row, median_ms, medians_ms
from rvpo_verl.core import AggregationContext, RewardBatch, Settings, compute
from rvpo_verl.core.advantage import advantage, broadcast
from rvpo_verl.rewards.vector import RewardVector


@dataclass(frozen=True)
class Workload:
    B: int
    M: int
    G: int
    T: int
    ragged: bool = False
    """Groups have 5 to M rewards, and a twentieth of the scores is missing."""
    peer_repeats: int = 3
    at_least: float | None = None
    """Aim: times faster than GDPO."""
    writes: float | None = None
    """Aim: times the time of writing the output once."""

    def __str__(self) -> str:
        rewards = f"5..{self.M}" if self.ragged else self.M
        return f"({self.B}, {rewards}, {self.G}, {self.T})"


WORKLOADS = [
    Workload(2048, 2, 4, 1024),
    Workload(1536, 17, 16, 2048, at_least=100, writes=2),
    Workload(1536, 17, 16, 2048, ragged=True, at_least=100, writes=2),
    # GDPO needs half a minute here; one call is enough to see the difference.
    Workload(16384, 17, 16, 2048, peer_repeats=1, at_least=100, writes=2),
]
LARGE = Workload(131072, 17, 16, 2048)
LARGE_MEMORY_GB = 24
REPEATS = 9

MASK = "the mask to read is int64, twice the output's size: that makes 1.4 writes of it; the rest is float64 on B × M"
JSON = "most of it is reading the rewards, a kilobyte of JSON a response, which GDPO is given as arrays"


class Batch:
    """One batch, as tensors, and as verl and a reward manager represent it."""

    def __init__(self, workload: Workload, device: str):
        rng = np.random.default_rng(0)
        B, M, G, T = workload.B, workload.M, workload.G, workload.T
        groups = B // G
        rewards_BM = rng.integers(0, 2, (B, M)).astype(float)
        if workload.ragged:
            width_G = rng.integers(5, M + 1, groups)
            exists_BM = (np.arange(M) < width_G[:, None]).repeat(G, axis=0)
            rewards_BM[~exists_BM | (rng.random((B, M)) < 0.05)] = np.nan
        self.rewards_BM = torch.tensor(rewards_BM, device=device)
        self.group_B = torch.arange(B, device=device) // G
        length_B = torch.as_tensor(rng.integers(1, T + 1, B), device=device)
        # int64, as verl has it
        self.mask_BT = (torch.arange(T, device=device) < length_B[:, None]).long()
        self.uid_B = np.array([f"prompt {group}" for group in self.group_B.tolist()], dtype=object)
        self.names = [f"criterion_{index}" for index in range(M)]

    def vectors(self) -> list[str]:
        rows = [
            {name: score for name, score in zip(self.names, row, strict=True) if score == score}
            for row in self.rewards_BM.tolist()
        ]
        return [RewardVector(scores, dict.fromkeys(scores, 1.0)).dumps() for scores in rows]

    def rvpo(self) -> Tensor:
        batch = RewardBatch(self.rewards_BM, self.group_B, self.mask_BT.sum(dim=1))
        return broadcast(advantage(batch, Settings(), AggregationContext()).advantage_B, self.mask_BT)

    def whole_step(self, vectors: list[str]) -> Tensor:
        """All that a trainer pays: from the managers' text to advantages and metrics."""
        scores = [RewardVector.loads(vector) for vector in vectors]
        batch = RewardBatch.from_vectors(scores, self.uid_B, self.mask_BT.sum(dim=1))
        return broadcast(compute(batch, step=1, total_steps=1).advantages_B, self.mask_BT)

    def gdpo(self) -> Callable[[], Any]:
        from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage

        columns = dict(zip(self.names, self.rewards_BM.T.cpu().numpy(), strict=True))
        prompts_B1 = torch.ones_like(self.mask_BT[:, :1])
        arguments = {
            "token_level_rewards": torch.zeros(self.mask_BT.shape, device=self.mask_BT.device),
            "response_mask": self.mask_BT,
            "index": self.uid_B,
            "config": {"gdpo_reward_keys": self.names},
            "non_tensor_batch": columns,
            "batch": {
                "prompts": prompts_B1,
                "attention_mask": torch.cat([prompts_B1, self.mask_BT], dim=1),
            },
        }
        return lambda: compute_gdpo_outcome_advantage(**arguments)


def measure(device: str) -> list[Row]:
    _fresh_memory()
    rows = []
    for workload in WORKLOADS:
        rows += _measure(workload, device)
    return [*rows, _large(device)]


def _measure(workload: Workload, device: str) -> list[Row]:
    batch = Batch(workload, device)
    write_once = partial(torch.full, batch.mask_BT.shape, 1.0, device=device)
    ours, write = medians_ms([batch.rvpo, write_once], REPEATS, device)
    step = median_ms(partial(batch.whole_step, batch.vectors()), REPEATS, device)
    output = batch.mask_BT.numel() * torch.float32.itemsize
    extra = max(_peak_bytes(batch.rvpo, device) / output - 1, 0.0)
    gdpo = median_ms(batch.gdpo(), workload.peer_repeats, device, warm_up=0)
    calls = f"GDPO: {workload.peer_repeats} calls"
    bound = f"memory: writing the output once and doing nothing else is {gdpo / write:.0f}× faster than GDPO"
    gdpo_row = partial(Row, unit="ms", peer=gdpo, peer_name="GDPO", at_least=workload.at_least)
    return [
        gdpo_row(f"advantage + broadcast {workload}", ours, remark=calls, if_missed=bound),
        Row(
            "… against writing its output once",
            ours,
            "ms",
            write,
            "write",
            at_most=workload.writes,
            if_missed=MASK,
        ),
        Row("… memory beside the output", extra, "outputs", at_most=1),
        gdpo_row("… whole step, with JSON and metrics", step, if_missed=JSON),
    ]


def _large(device: str) -> Row:
    batch = Batch(LARGE, device)
    gigabytes = (_peak_bytes(batch.rvpo, device) + batch.mask_BT.nbytes) / 2**30
    return Row(f"memory with mask and output {LARGE}", gigabytes, "GB", at_most=LARGE_MEMORY_GB)


def _fresh_memory() -> None:
    """Makes glibc give every tensor of a megabyte or more separate memory, and return it when it is freed.

    As in training, where a step comes once in a minute and its memory is cold; repeating it in the same
    warm memory would time the cache.
    """
    mallopt, M_MMAP_THRESHOLD = getattr(ctypes.CDLL(None), "mallopt", None), -3
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**20)


def _peak_bytes(call: Callable[[], Any], device: str) -> int:
    """Memory that a call needs at its peak beyond what was there before, its result included."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak becomes what is in use now
    before = _status_bytes("VmHWM")
    call()
    return _status_bytes("VmHWM") - before


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")

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
from rvpo_verl.core import AggregationContext, RewardBatch, Settings
from rvpo_verl.core.advantage import advantage, broadcast
from rvpo_verl.rewards.vector import KEY, RewardVector


@dataclass(frozen=True)
class Workload:
    B: int
    M: int
    G: int
    T: int
    ragged: bool = False
    """Groups have 5 to M rewards of their own, and a twentieth of the scores is missing."""
    peer_repeats: int = 3
    columns_at_least: float | None = None
    """Aim of the whole call with `reward_keys`: times faster than GDPO."""
    vectors_at_least: float | None = None
    """The same with reward vectors."""

    def __str__(self) -> str:
        rewards = f"5..{self.M}" if self.ragged else self.M
        return f"({self.B}, {rewards}, {self.G}, {self.T})"


# The largest first: on a virtual machine, memory that no process has touched before is several times slower.
WORKLOADS = [
    # GDPO needs half a minute here; one call is enough to see the difference.
    Workload(16384, 17, 16, 2048, peer_repeats=1, columns_at_least=60, vectors_at_least=35),
    Workload(1536, 17, 16, 2048),
    Workload(1536, 17, 16, 2048, ragged=True),
    Workload(2048, 2, 4, 1024, columns_at_least=40),
]
LARGE = Workload(131072, 17, 16, 2048)
LARGE_MEMORY_GB = 24
REPEATS = 9


class Batch:
    """One batch, as tensors, and as verl hands it to an estimator."""

    def __init__(self, workload: Workload, device: str = "cpu"):
        rng = np.random.default_rng(0)
        B, M, G, T = workload.B, workload.M, workload.G, workload.T
        groups = B // G
        rewards_BM = rng.integers(0, 2, (B, M)).astype(float)
        if workload.ragged:
            width_G = rng.integers(min(5, M), M + 1, groups)
            exists_BM = (np.arange(M) < width_G[:, None]).repeat(G, axis=0)
            rewards_BM[~exists_BM | (rng.random((B, M)) < 0.05)] = np.nan
        self.rewards_BM = torch.tensor(rewards_BM, device=device)
        self.group_B = torch.arange(B, device=device) // G
        length_B = torch.as_tensor(rng.integers(1, T + 1, B), device=device)
        # int64, as verl has it
        self.mask_BT = (torch.arange(T, device=device) < length_B[:, None]).long()
        # As long as verl's uids.
        self.uid_B = np.array([f"{group:036d}" for group in self.group_B.tolist()], dtype=object)
        self.names = [f"criterion_{index}" for index in range(M)]
        self._ragged = workload.ragged

    def vectors(self) -> np.ndarray:
        """The managers' text; in a ragged batch each group has names of its own."""
        texts = []
        for group, row in zip(self.group_B.tolist(), self.rewards_BM.tolist(), strict=True):
            prefix = f"rubric/{group}_" if self._ragged else ""
            scores = {
                prefix + name: score for name, score in zip(self.names, row, strict=True) if score == score
            }
            texts.append(RewardVector(scores, dict.fromkeys(scores, 1.0)).dumps())
        return np.array(texts, dtype=object)

    def core(self) -> Tensor:
        """The equations alone."""
        batch = RewardBatch(self.rewards_BM, self.group_B, self.mask_BT.sum(dim=1))
        return broadcast(advantage(batch, Settings(), AggregationContext()).advantage_B, self.mask_BT)

    def with_columns(self) -> Callable[[], Any]:
        """verl's whole call, rewards as columns of numbers: configuration, advantages, metrics."""
        return self._verl("rvpo", self._columns(), {"rvpo": {"reward_keys": self.names}})

    def with_vectors(self) -> Callable[[], Any]:
        """The same, rewards as the `rvpo` manager reports them: JSON."""
        return self._verl("rvpo", {KEY: self.vectors()}, {"rvpo": {}})

    def gdpo(self) -> Callable[[], Any]:
        """The same call for verl's GDPO."""
        return self._verl("gdpo", self._columns(), {"gdpo_reward_keys": self.names})

    def _columns(self) -> dict[str, np.ndarray]:
        return dict(zip(self.names, self.rewards_BM.T.cpu().numpy().copy(), strict=True))

    def _verl(
        self, estimator: str, columns: dict[str, np.ndarray], algorithm: dict[str, Any]
    ) -> Callable[[], Any]:
        from omegaconf import OmegaConf
        from tensordict import TensorDict
        from verl import DataProto
        from verl.trainer.ppo import ray_trainer

        prompts_B1 = torch.ones_like(self.mask_BT[:, :1])
        tensors = {
            "token_level_rewards": torch.zeros(self.mask_BT.shape, device=self.mask_BT.device),
            "response_mask": self.mask_BT,
            "prompts": prompts_B1,
            "attention_mask": torch.cat([prompts_B1, self.mask_BT], dim=1),
        }
        data = DataProto(
            batch=TensorDict(tensors, batch_size=len(self.mask_BT)),
            non_tensor_batch={"uid": self.uid_B, **columns},
        )
        config: Any = OmegaConf.create({"adv_estimator": estimator, **algorithm})
        verls: Any = ray_trainer.compute_advantage  # which takes more than its annotations say

        def call() -> None:
            verls(data, estimator, config=config)
            # The advantages belong to the batch, and would be there already when the next call is measured.
            data.batch.pop("advantages")
            data.batch.pop("returns")

        return call


def measure(device: str) -> list[Row]:
    fresh_memory()
    for call in (Batch.with_columns, Batch.with_vectors):
        call(Batch(Workload(16, 2, 4, 8), device))()  # what is loaded on first use
    rows = []
    for workload in WORKLOADS:
        rows += _measure(workload, device)
    return [*rows, _large(device)]


def _measure(workload: Workload, device: str) -> list[Row]:
    batch = Batch(workload, device)
    write = partial(torch.full, batch.mask_BT.shape, 1.0, device=device)
    columns, vectors = batch.with_columns(), batch.with_vectors()
    output = batch.mask_BT.numel() * torch.float32.itemsize
    # First, while no memory is left over from other calls.
    memory = {
        what: peak_bytes(call, device) / output for what, call in (("columns", columns), ("vectors", vectors))
    }
    core_ms, write_ms, columns_ms, vectors_ms = medians_ms(
        [batch.core, write, columns, vectors], REPEATS, device
    )
    gdpo_ms = median_ms(batch.gdpo(), workload.peer_repeats, device, warm_up=0)
    gdpo = partial(Row, unit="ms", peer=gdpo_ms, peer_name="GDPO")
    writes = partial(Row, unit="ms", peer=write_ms, peer_name="torch.full", at_most=2)
    calls = f"verl's `compute_advantage`; GDPO through the same, {workload.peer_repeats} calls"
    return [
        gdpo(
            f"whole call, reward_keys {workload}",
            columns_ms,
            at_least=workload.columns_at_least,
            remark=calls,
        ),
        gdpo(f"whole call, vectors in JSON {workload}", vectors_ms, at_least=workload.vectors_at_least),
        gdpo("… equations and broadcast alone", core_ms),
        writes("… whole call, reward_keys, against writing an output of that size once", columns_ms),
        Row(
            "… memory of the call with reward_keys, its result included",
            memory["columns"],
            "outputs",
            at_most=1.5,
        ),
        Row(
            "… memory of the call with vectors, its result included",
            memory["vectors"],
            "outputs",
            at_most=1.5,
        ),
    ]


def _large(device: str) -> Row:
    batch = Batch(LARGE, device)
    gigabytes = (peak_bytes(batch.core, device) + batch.mask_BT.nbytes) / 2**30
    return Row(f"memory with mask and output {LARGE}", gigabytes, "GB", at_most=LARGE_MEMORY_GB)


def fresh_memory() -> None:
    """Makes glibc give every tensor of a megabyte or more separate memory, and return it when it is freed.

    As in training, where a step comes once in a minute and its memory is cold; repeating it in the same
    warm memory would time the cache.
    """
    mallopt, M_MMAP_THRESHOLD = getattr(ctypes.CDLL(None), "mallopt", None), -3
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**20)


def peak_bytes(call: Callable[[], Any], device: str = "cpu") -> int:
    """Memory that a call needs at its peak beyond what was there before, its result included."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # what glibc keeps of earlier calls would not be counted
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak becomes what is in use now
    before = _status_bytes("VmHWM")
    call()
    return _status_bytes("VmHWM") - before


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")

"""Metrics of a small batch."""

import torch

from rvpo_verl.core import RewardBatch, Settings, compute
from rvpo_verl.core.aggregations import find


def metrics_of(
    rewards, groups, *, k=2.0, names=("easy", "hard"), valid_B=None, aggregation="softmin", **options
):
    batch = RewardBatch(
        torch.tensor(rewards, dtype=torch.float64),
        torch.tensor(groups),
        torch.ones(len(groups)),
        valid_B=valid_B,
        families=names,
    )
    settings = Settings(aggregation=find(aggregation), **({} if k is None else {"k": k}), **options)
    return compute(batch, settings).metrics

"""What RVPO logs about one batch, under `rvpo/`.

verl reduces metrics over mini-steps by substrings of their names ("min", "max", "sum", "total"), so none of
the names given here contains one.

Shapes: B responses, M rewards, G groups, F reward families (the names they are logged under).
"""

import torch
from torch import Tensor

from rvpo_verl.core.advantage import Advantage
from rvpo_verl.core.aggregations import AggregationContext, shares
from rvpo_verl.core.batch import RewardBatch
from rvpo_verl.core.settings import Settings


def batch_metrics(
    steps: Advantage, batch: RewardBatch, settings: Settings, context: AggregationContext
) -> dict[str, float]:
    """Metrics of one batch.

    Args:
        steps: what `advantage` returned for the batch.
        context: that the aggregation was called with.
    """
    rewards_BM, group_B, family_BM = batch.rewards_BM, batch.group_B, batch.family_BM
    z_BM, weight_BM = steps.standardized.z_BM, steps.weight_BM
    present_BM, constant_BM = steps.standardized.present_BM, steps.standardized.constant_BM
    takes_part_B = steps.takes_part_B
    responses = takes_part_B.sum().clamp(min=1)
    families = batch.families

    varied_B = (present_BM & ~constant_BM).any(dim=1)
    lowest_B = torch.where(weight_BM > 0, z_BM, float("inf")).amin(dim=1)
    bottleneck_BM = ((z_BM == lowest_B[:, None]) & (weight_BM > 0) & varied_B[:, None]).double()
    bottleneck_BM = bottleneck_BM / bottleneck_BM.sum(dim=1, keepdim=True).clamp(min=1)
    share_BM = shares(settings.aggregation, z_BM, weight_BM, context)

    # A batch of rubrics may have hundreds of families: the cells of all are added up in one go, and those
    # of no family in a bin behind the last.
    bin_BM = torch.where(family_BM < 0, len(families), family_BM)

    def sum_F(values_BM: Tensor, where_BM: Tensor = present_BM) -> Tensor:
        bins = torch.zeros(len(families) + 1, dtype=torch.float64, device=values_BM.device)
        return bins.index_add_(0, bin_BM.flatten(), torch.where(where_BM, values_BM, 0.0).flatten())[:-1]

    def extreme_F(reduce: str) -> Tensor:
        start = torch.full_like(there_F, float("inf") if reduce == "amin" else float("-inf"))
        bins = torch.cat([start, start.new_zeros(1)])
        cells = torch.where(present_BM, bin_BM, len(families)).flatten()
        extreme = bins.scatter_reduce(0, cells, rewards_BM.double().flatten(), reduce)[:-1]
        return torch.where(there_F > 0, extreme, float("nan"))

    one_BM, once_BM = torch.ones_like(z_BM), _once_in_group(present_BM, group_B)
    there_F, member_F = sum_F(one_BM), sum_F(one_BM, batch.valid_B[:, None])
    mean_F = sum_F(rewards_BM.double()) / there_F  # NaN where there is none
    deviation_BM = rewards_BM.double() - torch.cat([mean_F, mean_F.new_zeros(1)])[bin_BM]
    of_family = {
        "mean": mean_F,
        "std": (sum_F(deviation_BM.square()) / (there_F - 1).clamp(min=1)).sqrt(),
        "best": extreme_F("amax"),
        "worst": extreme_F("amin"),
        "missing": 1 - there_F / member_F.clamp(min=1),
        "constant_groups": sum_F(once_BM, constant_BM) / sum_F(once_BM).clamp(min=1),
        "bottleneck": sum_F(bottleneck_BM) / varied_B.sum().clamp(min=1),
        "weight": sum_F(share_BM) / there_F.clamp(min=1),
    }

    mean_B = (weight_BM * z_BM).sum(dim=1)
    variance_B = (weight_BM * (z_BM - mean_B[:, None]).square()).sum(dim=1)
    still_B = takes_part_B & ~_group_any(varied_B, group_B)
    once_B = _once_in_group(takes_part_B[:, None], group_B).squeeze(1)
    of_batch = {
        "reward_variance": variance_B.sum() / responses,
        "below_mean": (mean_B - steps.aggregate_B)[takes_part_B].sum() / responses,
        "aggregate_std": _std(steps.aggregate_B[takes_part_B]),
        "constant_groups/share": once_B[still_B].sum() / once_B.sum().clamp(min=1),
        "constant_groups/advantage": steps.advantage_B[still_B].sum() / still_B.sum().clamp(min=1),
    }

    names = [f"rvpo/{name}/{what}" for what in of_family for name in families]
    names += [f"rvpo/{what}" for what in of_batch]
    # One transfer from the device for all of them.
    values = torch.cat([*of_family.values(), torch.stack(list(of_batch.values()))]).tolist()
    k = {} if context.used_k is None else {"rvpo/k": float(context.used_k)}
    return k | dict(zip(names, values, strict=True))


def _std(values_B: Tensor) -> Tensor:
    return values_B.std() if len(values_B) > 1 else values_B.new_zeros(())


def _group_any(flag_B: Tensor, group_B: Tensor) -> Tensor:
    """Whether any response of the group has the flag, for each response."""
    return _group_count(flag_B[:, None], group_B).squeeze(1) > 0


def _once_in_group(there_BM: Tensor, group_B: Tensor) -> Tensor:
    """Shares of 1 among a group's responses that have the reward: added up, they count groups."""
    return torch.where(there_BM, 1 / _group_count(there_BM, group_B), 0.0)


def _group_count(flag_BM: Tensor, group_B: Tensor) -> Tensor:
    """How many responses of the group have the flag, for each response and reward."""
    groups = int(group_B.max()) + 1 if group_B.numel() else 0
    zeros_GM = torch.zeros(groups, flag_BM.shape[1], dtype=torch.float64, device=flag_BM.device)
    return zeros_GM.index_add_(0, group_B, flag_BM.double())[group_B]

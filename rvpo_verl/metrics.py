"""What RVPO logs about one batch, under `rvpo/`.

verl reduces metrics over mini-steps by substrings of their names ("min", "max", "sum", "total"), so none of
the names given here contains one.

Shapes: B responses, M rewards, G groups, F reward families (the names they are logged under).
"""

import torch
from torch import Tensor

from rvpo_verl.advantage import Advantage, softmin_weights


def batch_metrics(
    result: Advantage,
    rewards_BM: Tensor,
    group_B: Tensor,
    family_BM: Tensor,
    families: list[str],
    *,
    valid_B: Tensor,
    k: float | None,
) -> dict[str, float]:
    """Metrics of one batch.

    Args:
        result: what `advantage` returned for the batch.
        rewards_BM: raw rewards, NaN where missing.
        group_B: group of each response, integers from 0.
        family_BM: index into `families` of each reward, -1 where the group has no such reward.
        families: names to report under.
        valid_B: False for rows that are in no metric, such as padding.
        k: the risk coefficient, None where the aggregation has none.
    """
    z_BM, weight_BM = result.standardised.z_BM, result.weight_BM
    present_BM, constant_BM = result.standardised.present_BM, result.standardised.constant_BM
    takes_part_B = result.takes_part_B
    responses = takes_part_B.sum().clamp(min=1)

    varies_BM = present_BM & ~constant_BM
    varied_B = varies_BM.any(dim=1)
    lowest_B = torch.where(weight_BM > 0, z_BM, float("inf")).amin(dim=1)
    bottleneck_BM = ((z_BM == lowest_B[:, None]) & (weight_BM > 0) & varied_B[:, None]).double()
    bottleneck_BM = bottleneck_BM / bottleneck_BM.sum(dim=1, keepdim=True).clamp(min=1)
    decides_BM = weight_BM if k is None else softmin_weights(z_BM, weight_BM, k)

    metrics = {} if k is None else {"rvpo/k": float(k)}
    for index, name in enumerate(families):
        member_BM = (family_BM == index) & valid_B[:, None]
        there_BM = member_BM & present_BM
        count, there = member_BM.sum().clamp(min=1), there_BM.sum().clamp(min=1)
        values = rewards_BM[there_BM].double()
        metrics |= {
            f"rvpo/{name}/mean": values.mean() if len(values) else float("nan"),
            f"rvpo/{name}/std": values.std() if len(values) > 1 else 0.0,
            f"rvpo/{name}/best": values.amax() if len(values) else float("nan"),
            f"rvpo/{name}/worst": values.amin() if len(values) else float("nan"),
            f"rvpo/{name}/missing": 1 - there_BM.sum() / count,
            f"rvpo/{name}/constant_groups": _share_of_groups(there_BM & constant_BM, there_BM, group_B),
            f"rvpo/{name}/bottleneck": bottleneck_BM[there_BM].sum() / varied_B.sum().clamp(min=1),
            f"rvpo/{name}/weight": decides_BM[there_BM].sum() / there,
        }

    mean_B = (weight_BM * z_BM).sum(dim=1)
    variance_B = (weight_BM * (z_BM - mean_B[:, None]).square()).sum(dim=1)
    still_B = takes_part_B & ~_group_any(varied_B, group_B)
    metrics |= {
        "rvpo/reward_variance": variance_B.sum() / responses,
        "rvpo/below_mean": (mean_B - result.aggregate_B)[takes_part_B].sum() / responses,
        "rvpo/aggregate_std": _std(result.aggregate_B[takes_part_B]),
        "rvpo/constant_groups/share": _share_of_groups(still_B[:, None], takes_part_B[:, None], group_B),
        "rvpo/constant_groups/advantage": result.advantage_B[still_B].sum() / still_B.sum().clamp(min=1),
    }
    return {name: float(value) for name, value in metrics.items()}


def _std(values_B: Tensor) -> Tensor | float:
    return values_B.std() if len(values_B) > 1 else 0.0


def _group_any(flag_B: Tensor, group_B: Tensor) -> Tensor:
    """Whether any response of the group has the flag, for each response."""
    groups = int(group_B.max()) + 1 if group_B.numel() else 0
    count_G = torch.zeros(groups, device=flag_B.device).index_add_(0, group_B, flag_B.float())
    return count_G[group_B] > 0


def _share_of_groups(flag_BM: Tensor, there_BM: Tensor, group_B: Tensor) -> float:
    """Share of (group, reward) pairs that have the flag, among those that are there."""
    groups = int(group_B.max()) + 1 if group_B.numel() else 0
    zeros_GM = torch.zeros(groups, flag_BM.shape[1], device=flag_BM.device)
    flagged_GM = zeros_GM.index_add(0, group_B, flag_BM.float()) > 0
    there_GM = zeros_GM.index_add(0, group_B, there_BM.float()) > 0
    return float(flagged_GM.sum() / there_GM.sum().clamp(min=1))

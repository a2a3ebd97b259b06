"""What RVPO logs about one batch, under `rvpo/`.

verl reduces metrics over mini-steps by substrings of their names ("min", "max", "sum", "total"), so none of
the names given here contains one.

Shapes: B responses, M rewards, G groups, F reward families (the names they are logged under).
"""

import torch
from torch import Tensor

from rvpo_verl.core.advantage import Advantage
from rvpo_verl.core.aggregations import AggregationContext, lowest, shares
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
    group_B, families = batch.group_B, batch.families
    z_BM, weight_BM, groups = steps.standardized.z_BM, steps.weight_BM, steps.standardized.groups
    takes_part_B = steps.takes_part_B
    responses = takes_part_B.sum().clamp(min=1)

    varied_B = (steps.standardized.present_BM & ~steps.standardized.constant_BM).any(dim=1)
    lowest_BM = (z_BM == lowest(z_BM, weight_BM)[:, None]) & (weight_BM > 0) & varied_B[:, None]
    bottleneck_BM = lowest_BM / lowest_BM.sum(dim=1, keepdim=True).clamp(min=1).double()
    share_BM = shares(settings.aggregation, z_BM, weight_BM, context)

    # First by group, then by family: a batch of rubrics may have hundreds of families, whose cells are added up in
    # one go. A cell of no family goes into a bin behind the last.
    G, M = groups.count_GM.shape
    first_G = group_B.new_zeros(G).scatter_(0, group_B, torch.arange(len(group_B), device=group_B.device))
    family_GM = batch.family_BM[first_G]
    bin_GM = torch.where(family_GM < 0, len(families), family_GM)

    def sum_GM(values_BM: Tensor) -> Tensor:
        return values_BM.new_zeros(G, M).index_add_(0, group_B, values_BM)

    def sum_F(values_GM: Tensor) -> Tensor:
        bins = values_GM.new_zeros(len(families) + 1)
        return bins.index_add_(0, bin_GM.flatten(), values_GM.flatten())[:-1]

    def extreme_F(values_GM: Tensor, nothing: float, reduce: str) -> Tensor:
        bins = values_GM.new_full((len(families) + 1,), nothing)
        extreme = bins.scatter_reduce_(0, bin_GM.flatten(), values_GM.flatten(), reduce)[:-1]
        return torch.where(there_F > 0, extreme, torch.nan)

    present_GM, mean_GM = groups.count_GM > 0, groups.sum_GM / groups.count_GM.clamp(min=1)
    there_F = sum_F(groups.count_GM)
    valid_G = groups.count_GM.new_zeros(G).index_add_(0, group_B, batch.valid_B.double())
    member_F = sum_F(valid_G[:, None].expand(G, M))
    mean_F = sum_F(groups.sum_GM) / there_F  # NaN where there is none
    from_family_GM = mean_GM - torch.cat([mean_F, mean_F.new_zeros(1)])[bin_GM]
    squares_GM = groups.sum_of_squares_GM + groups.count_GM * from_family_GM.square()
    squares_F = sum_F(torch.where(present_GM, squares_GM, 0.0))
    of_family = {
        "mean": mean_F,
        "std": (squares_F / (there_F - 1).clamp(min=1)).sqrt(),
        "best": extreme_F(groups.highest_GM, -torch.inf, "amax"),
        "worst": extreme_F(groups.lowest_GM, torch.inf, "amin"),
        "missing": 1 - there_F / member_F.clamp(min=1),
        "constant_groups": sum_F(groups.constant_GM.double()) / sum_F(present_GM.double()).clamp(min=1),
        "bottleneck": sum_F(sum_GM(bottleneck_BM)) / varied_B.sum().clamp(min=1),
        "weight": sum_F(sum_GM(share_BM)) / there_F.clamp(min=1),
    }

    mean_B = (weight_BM * z_BM).sum(dim=1)
    variance_B = (z_BM - mean_B[:, None]).square_().mul_(weight_BM).sum(dim=1)
    part_G, varied_G = present_GM.any(dim=1), (present_GM & ~groups.constant_GM).any(dim=1)
    still_B = takes_part_B & ~varied_G[group_B]
    of_batch = {
        "reward_variance": variance_B.sum() / responses,
        "below_mean": (mean_B - steps.aggregate_B)[takes_part_B].sum() / responses,
        "aggregate_std": _std(steps.aggregate_B[takes_part_B]),
        "constant_groups/share": (part_G & ~varied_G).double().sum() / part_G.sum().clamp(min=1),
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

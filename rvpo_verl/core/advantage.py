"""The equations: the rewards of each response in, one advantage per response out.

    Z_j = (R_j - mean_g R_j) / (std_g R_j + eps)                     GDPO, arXiv:2601.05242
    A   = aggregation(Z, w), such as -(1/k) log sum_j w_j exp(-k Z_j)   RVPO, arXiv:2605.05750
    A   = A + bonus clip(1 + min_j Z_j, 0, 1) M sum_j w_j max(Z_j - 1, 0)    `bonus`, ours
    A   = A - mean_g A                                               `center_groups`, ours
    A   = (A - mean A) / std A                                       whitening over the batch, as GDPO

Shapes: B responses, M rewards, G groups, T tokens. Rewards are NaN where missing; a column is one reward
*within a group*, so groups may have different rewards, and different numbers of them, in the same columns.
All arithmetic is float64: at small k the differences that matter are below float32's resolution.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rvpo_verl.core.aggregations import AggregationContext, lowest
from rvpo_verl.core.batch import RewardBatch
from rvpo_verl.core.settings import Settings, Whitening


@dataclass(frozen=True)
class Groups:
    """Statistics of every reward within every group, over the responses that have it."""

    count_GM: Tensor
    """Responses that have the reward; float64."""
    sum_GM: Tensor
    """Sum of the raw rewards; float64."""
    sum_of_squares_GM: Tensor
    """Sum of the squared deviations from the group's mean; float64."""
    lowest_GM: Tensor
    """inf where no response has the reward."""
    highest_GM: Tensor
    """-inf where no response has the reward."""
    constant_GM: Tensor
    """Whether some response has the reward, and all that have it have the same."""


@dataclass(frozen=True)
class Standardized:
    """Every reward relative to its group."""

    z_BM: Tensor
    """Z, 0 where the reward is missing or constant in its group."""
    present_BM: Tensor
    """Whether the reward is there and its response takes part."""
    constant_BM: Tensor
    """Whether the reward is present but does not vary in its group."""
    groups: Groups
    """What was computed of each group."""


@dataclass(frozen=True)
class Advantage:
    """The steps from rewards to advantages."""

    advantage_B: Tensor
    """Final advantage; float64, 0 for responses that take no part."""
    aggregate_B: Tensor
    """Aggregate before centering and whitening, 0 for responses that take no part."""
    takes_part_B: Tensor
    """Whether the response has a reward and was not masked out."""
    standardized: Standardized
    """The rewards, each relative to its group."""
    weight_BM: Tensor
    """Weights of the aggregate's members: 0 for the rest, 1 in sum, or all 0 without a member."""


def advantage(batch: RewardBatch, settings: Settings, context: AggregationContext) -> Advantage:
    """The whole way from rewards to advantages."""
    standardized = standardize(batch.rewards_BM, batch.group_B, valid_B=batch.valid_B, eps=settings.eps)
    takes_part_B = standardized.present_BM.any(dim=1)
    member_BM = standardized.present_BM
    if settings.constant_rewards == "drop":
        member_BM = member_BM & ~standardized.constant_BM
    weight_BM = normalize_weights(member_BM, batch.weights_BM)

    aggregate_B = settings.aggregation(standardized.z_BM, weight_BM, context)
    if settings.bonus:
        aggregate_B = aggregate_B + settings.bonus * success_bonus(standardized.z_BM, weight_BM)
    advantage_B = aggregate_B
    if settings.center_groups:
        groups = len(standardized.groups.count_GM)
        sum_G, count_G = (
            values_B.new_zeros(groups).index_add_(0, batch.group_B, values_B)
            for values_B in (torch.where(takes_part_B, aggregate_B, 0.0), takes_part_B.double())
        )
        mean_G = sum_G / count_G.clamp(min=1)
        advantage_B = torch.where(takes_part_B, aggregate_B - mean_G[batch.group_B], 0.0)
    advantage_B = whiten(advantage_B, takes_part_B, batch.length_B, settings.whitening)
    return Advantage(advantage_B, aggregate_B, takes_part_B, standardized, weight_BM)


def standardize(
    rewards_BM: Tensor, group_B: Tensor, *, valid_B: Tensor | None = None, eps: float = 1e-6
) -> Standardized:
    """Z-score of every reward inside its group, with the unbiased standard deviation.

    A reward that is constant in its group, or the only one of it, has Z = 0 exactly: rounding in the mean
    must not become a signal when it is divided by a tiny standard deviation.

    Args:
        rewards_BM: raw rewards, NaN (or any non-finite value) where missing.
        group_B: group of each response, integers from 0.
        valid_B: False for rows that take part in nothing, such as padding.
    """
    # What a few roundings in the rewards' own precision can make of equal values.
    precision = torch.finfo(rewards_BM.dtype).eps if rewards_BM.is_floating_point() else 0.0
    tolerance = 8 * precision
    rewards_BM = rewards_BM.double()
    # Comparisons instead of `isfinite`, and operations in place below: on a CPU most of what this costs is memory
    # that is touched for the first time.
    present_BM = (rewards_BM > -torch.inf) & (rewards_BM < torch.inf)
    if valid_B is not None:
        present_BM &= valid_B.bool()[:, None]
    absent_BM = ~present_BM

    groups = int(group_B.max()) + 1 if group_B.numel() else 0
    index_BM = group_B[:, None].expand_as(rewards_BM)

    def extreme_GM(values_BM: Tensor, nothing: float, reduce: str) -> Tensor:
        start_GM = values_BM.new_full((groups, values_BM.shape[1]), nothing)
        return start_GM.scatter_reduce_(0, index_BM, values_BM, reduce)

    def added_GM(values_BM: Tensor) -> Tensor:
        return rewards_BM.new_zeros(groups, rewards_BM.shape[1]).index_add_(0, group_B, values_BM)

    count_GM = added_GM(present_BM.double())
    values_BM = torch.where(present_BM, rewards_BM, torch.inf)
    lowest_GM = extreme_GM(values_BM, torch.inf, "amin")
    highest_GM = extreme_GM(values_BM.masked_fill_(absent_BM, -torch.inf), -torch.inf, "amax")
    scale_GM = torch.maximum(lowest_GM.abs(), highest_GM.abs())
    constant_GM = (count_GM > 0) & (highest_GM - lowest_GM <= tolerance * scale_GM)

    sum_GM = added_GM(values_BM.masked_fill_(absent_BM, 0.0))
    mean_GM = sum_GM / count_GM.clamp(min=1)
    deviation_BM = values_BM.sub_(mean_GM[group_B]).masked_fill_(absent_BM, 0.0)
    sum_of_squares_GM = added_GM(deviation_BM.square())
    std_GM = (sum_of_squares_GM / (count_GM - 1).clamp(min=1)).sqrt()
    constant_BM = constant_GM[group_B] & present_BM
    z_BM = deviation_BM.div_((std_GM + eps)[group_B]).masked_fill_(constant_BM | absent_BM, 0.0)
    statistics = Groups(count_GM, sum_GM, sum_of_squares_GM, lowest_GM, highest_GM, constant_GM)
    return Standardized(z_BM, present_BM, constant_BM, statistics)


def normalize_weights(member_BM: Tensor, weights_BM: Tensor | None) -> Tensor:
    """Weights over the members of each response's aggregate, 1 in sum (0 where it has no member).

    Args:
        weights_BM: at least 0; equal weights if None.
    """
    if weights_BM is None:
        weight_BM = member_BM.double()
    else:
        weight_BM = torch.where(member_BM, weights_BM.double(), 0.0).nan_to_num_()
    total_B1 = weight_BM.sum(dim=1, keepdim=True)
    return weight_BM.div_(torch.where(total_B1 > 0, total_B1, 1.0))


def success_bonus(z_BM: Tensor, weight_BM: Tensor) -> Tensor:
    """Credit for rare successes of a response that loses nothing for them.

        clip(1 + min_j Z_j, 0, 1) * M sum_j w_j max(Z_j - 1, 0)

    Softmin caps what a lone success is worth at log(M / (M - 1)) / k, so that a reward which most groups have
    not found is not learned. Z exceeds 1 where less than about half of the group succeeds. The first factor
    falls from 1 to 0 as the lowest Z falls from 0 to -1: a shortcut that raises some rewards by breaking
    another earns nothing.
    """
    members_B = (weight_BM > 0).sum(dim=1)
    guard_B = (1 + lowest(z_BM, weight_BM)).clamp(0, 1)
    return guard_B * members_B * (weight_BM * (z_BM - 1).clamp(min=0)).sum(dim=1)


def whiten(values_B: Tensor, takes_part_B: Tensor, length_B: Tensor, whitening: Whitening) -> Tensor:
    """Zero mean and unit variance over the batch; 0 for responses that take no part.

    `token` counts a response once for each of its tokens, as whitening the token-level tensor does in verl
    (`masked_whiten`: unbiased variance, 1e-8 under the root); `response` counts it once.
    """
    if whitening == "none":
        return torch.where(takes_part_B, values_B, 0.0)
    if whitening not in ("token", "response"):
        raise ValueError(f"whitening={whitening!r}; accepted: token, response, none")
    count_B = takes_part_B.double() * (length_B.double() if whitening == "token" else 1.0)
    count = count_B.sum()
    mean = (count_B * values_B).sum() / count.clamp(min=1)
    centered_B = torch.where(takes_part_B, values_B - mean, 0.0)
    variance = (count_B * centered_B.square()).sum() / (count - 1).clamp(min=1)
    return centered_B * torch.rsqrt(variance + 1e-8)


def broadcast(advantage_B: Tensor, mask_BT: Tensor) -> Tensor:
    """Each response's advantage on each of its tokens, 0 elsewhere; float32."""
    return scale(as_float(mask_BT, advantage_B.device), advantage_B)


def as_float(mask_BT: Tensor, device: torch.device) -> Tensor:
    """A float32 copy of the mask, for `scale` to make the advantages of it in place.

    On a CPU numpy allocates it: touching so much memory for the first time costs more than everything else here, and
    on Linux numpy asks for huge pages, 512 times fewer, which torch does not.
    """
    if device.type != "cpu":
        return torch.empty(mask_BT.shape, dtype=torch.float32, device=device).copy_(mask_BT)
    return torch.from_numpy(np.empty(mask_BT.shape, dtype=np.float32)).copy_(mask_BT)


def scale(mask_BT: Tensor, advantage_B: Tensor) -> Tensor:
    """Writes each response's advantage over the ones of its mask."""
    return mask_BT.mul_(advantage_B.to(mask_BT.dtype)[:, None])

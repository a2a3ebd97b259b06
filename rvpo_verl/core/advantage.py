"""RVPO's mathematics: the rewards of each response in, one advantage per response out.

    Z_j = (R_j - mean_g R_j) / (std_g R_j + eps)                     GDPO, arXiv:2601.05242
    A   = -(1/k) log sum_j w_j exp(-k Z_j),   sum_j w_j = 1          RVPO, arXiv:2605.05750
    A   = A + bonus clip(1 + min_j Z_j, 0, 1) M sum_j w_j max(Z_j - 1, 0)    `bonus`, ours
    A   = A - mean_g A                                               `center_groups`, ours
    A   = (A - mean A) / std A                                       whitening over the batch, as GDPO

Shapes: B responses, M rewards, G groups, T tokens. Rewards are NaN where missing; a column is one reward
*within a group*, so groups may have different rewards, and different numbers of them, in the same columns.
All arithmetic is float64: at small k the differences that matter are below float32's resolution.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

AggregationName = Literal["softmin", "mean", "min", "variance"]
WhiteningName = Literal["token", "response", "none"]


@dataclass(frozen=True)
class Standardised:
    z_BM: Tensor
    """Z, 0 where the reward is missing or constant in its group."""
    present_BM: Tensor
    """Whether the reward is there and its response takes part."""
    constant_BM: Tensor
    """Whether the reward is present but does not vary in its group."""


@dataclass(frozen=True)
class Advantage:
    advantage_B: Tensor
    """Final advantage, 0 for responses that take no part."""
    aggregate_B: Tensor
    """Aggregate before centring and whitening, 0 for responses that take no part."""
    takes_part_B: Tensor
    """Whether the response has a reward and was not masked out."""
    standardised: Standardised
    weight_BM: Tensor
    """Weights of the aggregate's members: 0 for the rest, 1 in sum, or all 0 without a member."""


def advantage(
    rewards_BM: Tensor,
    group_B: Tensor,
    length_B: Tensor,
    *,
    valid_B: Tensor | None = None,
    weights_BM: Tensor | None = None,
    aggregation: AggregationName = "softmin",
    k: float = 2.0,
    beta: float = 1.0,
    eps: float = 1e-6,
    constant_rewards: Literal["keep", "drop"] = "keep",
    bonus: float = 0.0,
    center_groups: bool = True,
    whitening: WhiteningName = "token",
) -> Advantage:
    """The whole way from rewards to advantages.

    Args:
        rewards_BM: raw rewards, NaN (or any non-finite value) where missing.
        group_B: group of each response, integers from 0.
        length_B: tokens of each response that are trained; the weights of `token` whitening.
        valid_B: False for rows that take part in nothing, such as padding.
        weights_BM: weight of each reward, at least 0; equal if None. Renormalised over what is present.
        aggregation, k, beta, eps, constant_rewards, bonus, center_groups, whitening: see `AdvantageConfig`.

    Raises:
        ValueError: shapes that do not fit, a negative k, an unknown aggregation or whitening.
    """
    B, M = _matrix_shape(rewards_BM)
    for name, vector in (("group_B", group_B), ("length_B", length_B), ("valid_B", valid_B)):
        if vector is not None and vector.shape != (B,):
            raise ValueError(
                f"{name} has shape {tuple(vector.shape)}, expected ({B},) as rewards_BM {(B, M)}"
            )

    standardised = standardise(rewards_BM, group_B, valid_B=valid_B, eps=eps)
    takes_part_B = standardised.present_BM.any(dim=1)
    member_BM = standardised.present_BM
    if constant_rewards == "drop":
        member_BM = member_BM & ~standardised.constant_BM
    weight_BM = normalise_weights(member_BM, weights_BM)

    aggregate_B = aggregate(standardised.z_BM, weight_BM, aggregation=aggregation, k=k, beta=beta)
    if bonus:
        aggregate_B = aggregate_B + bonus * success_bonus(standardised.z_BM, weight_BM)
    advantage_B = aggregate_B
    if center_groups:
        mean_G, _ = _group_mean(aggregate_B[:, None], takes_part_B[:, None], group_B)
        advantage_B = torch.where(takes_part_B, aggregate_B - mean_G[group_B, 0], 0.0)
    advantage_B = whiten(advantage_B, takes_part_B, length_B, whitening)
    return Advantage(advantage_B, aggregate_B, takes_part_B, standardised, weight_BM)


def standardise(
    rewards_BM: Tensor, group_B: Tensor, *, valid_B: Tensor | None = None, eps: float = 1e-6
) -> Standardised:
    """Z-score of every reward inside its group, with the unbiased standard deviation.

    A reward that is constant in its group, or the only one of it, has Z = 0 exactly: rounding in the mean
    must not become a signal when it is divided by a tiny standard deviation.
    """
    # What a few roundings in the rewards' own precision can make of equal values.
    precision = torch.finfo(rewards_BM.dtype).eps if rewards_BM.is_floating_point() else 0.0
    tolerance = 8 * precision
    rewards_BM = rewards_BM.double()
    present_BM = torch.isfinite(rewards_BM)
    if valid_B is not None:
        present_BM = present_BM & valid_B.bool()[:, None]

    lowest_BM = _group_extreme(rewards_BM, present_BM, group_B, "amin")
    highest_BM = _group_extreme(rewards_BM, present_BM, group_B, "amax")
    scale_BM = torch.maximum(lowest_BM.abs(), highest_BM.abs())
    constant_BM = present_BM & (highest_BM - lowest_BM <= tolerance * scale_BM)

    mean_GM, count_GM = _group_mean(rewards_BM, present_BM, group_B)
    deviation_BM = torch.where(present_BM, rewards_BM - mean_GM[group_B], 0.0)
    sum_of_squares_GM = torch.zeros_like(mean_GM).index_add_(0, group_B, deviation_BM.square())
    std_GM = (sum_of_squares_GM / (count_GM - 1).clamp(min=1)).sqrt()
    varies_BM = present_BM & ~constant_BM
    z_BM = torch.where(varies_BM, deviation_BM / (std_GM[group_B] + eps), 0.0)
    return Standardised(z_BM, present_BM, constant_BM)


def normalise_weights(member_BM: Tensor, weights_BM: Tensor | None = None) -> Tensor:
    """Weights over the members of each response's aggregate, 1 in sum (0 where it has no member)."""
    weight_BM = member_BM.double()
    if weights_BM is not None:
        weight_BM = weight_BM * torch.nan_to_num(weights_BM.double())
    total_B1 = weight_BM.sum(dim=1, keepdim=True)
    return weight_BM / torch.where(total_B1 > 0, total_B1, 1.0)


def aggregate(
    z_BM: Tensor,
    weight_BM: Tensor,
    *,
    aggregation: AggregationName = "softmin",
    k: float = 2.0,
    beta: float = 1.0,
) -> Tensor:
    """One value per response from the Z of its rewards; 0 where no reward has weight.

    softmin is computed as `min Z - (1/k) log1p(sum_j w_j expm1(-k (Z_j - min Z)))`: the same number as the
    paper's, without overflow at large k and without cancellation at small k.
    """
    mean_B = (weight_BM * z_BM).sum(dim=1)
    if aggregation == "mean":
        return mean_B
    if aggregation == "variance":
        return mean_B - beta * (weight_BM * (z_BM - mean_B[:, None]).square()).sum(dim=1)
    if aggregation not in ("softmin", "min"):
        raise ValueError(f"aggregation={aggregation!r}; accepted: softmin, mean, min, variance")
    if not k >= 0:
        raise ValueError(f"k={k}; the risk coefficient must be at least 0")
    lowest_B = _lowest(z_BM, weight_BM)
    if aggregation == "min" or k == float("inf"):
        return lowest_B
    if k == 0:
        return mean_B
    above_BM = (z_BM - lowest_B[:, None]).clamp(min=0)
    return lowest_B - torch.log1p((weight_BM * torch.expm1(-k * above_BM)).sum(dim=1)) / k


def success_bonus(z_BM: Tensor, weight_BM: Tensor) -> Tensor:
    """Credit for rare successes of a response that gives nothing up for them.

        clip(1 + min_j Z_j, 0, 1) * M sum_j w_j max(Z_j - 1, 0)

    Softmin caps what a lone success is worth at log(M / (M - 1)) / k, so that a reward which most groups have
    not found is not learned. Z exceeds 1 where less than about a half of the group succeeds. The first factor
    falls from 1 to 0 as the lowest Z falls from 0 to -1: a shortcut that lifts some rewards by breaking
    another earns nothing.
    """
    members_B = (weight_BM > 0).sum(dim=1)
    guard_B = (1 + _lowest(z_BM, weight_BM)).clamp(0, 1)
    return guard_B * members_B * (weight_BM * (z_BM - 1).clamp(min=0)).sum(dim=1)


def softmin_weights(z_BM: Tensor, weight_BM: Tensor, k: float) -> Tensor:
    """dA/dZ of softmin: how much of a response's aggregate each reward decides. Sums to 1."""
    if k == 0:
        return weight_BM
    above_BM = (z_BM - _lowest(z_BM, weight_BM)[:, None]).clamp(min=0)
    # k = inf: all the weight on the lowest, shared among equals (0 * inf would be NaN).
    decay_BM = torch.where(above_BM > 0, torch.exp(-k * above_BM.clamp(min=1e-300)), 1.0)
    unnormalised_BM = weight_BM * decay_BM
    total_B1 = unnormalised_BM.sum(dim=1, keepdim=True)
    return unnormalised_BM / torch.where(total_B1 > 0, total_B1, 1.0)


def whiten(values_B: Tensor, takes_part_B: Tensor, length_B: Tensor, whitening: WhiteningName) -> Tensor:
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
    centred_B = torch.where(takes_part_B, values_B - mean, 0.0)
    variance = (count_B * centred_B.square()).sum() / (count - 1).clamp(min=1)
    return centred_B * torch.rsqrt(variance + 1e-8)


def broadcast(advantage_B: Tensor, mask_BT: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Each response's advantage on each of its tokens, 0 elsewhere.

    The mask is read once, and no memory is used but the result's.
    """
    if mask_BT.device.type == "cpu":
        # Torch would first convert the whole mask to the dtype of the product: let that be the result.
        return mask_BT.to(dtype, copy=True).mul_(advantage_B.to(dtype)[:, None])
    return advantage_B.to(dtype)[:, None] * mask_BT


def _lowest(z_BM: Tensor, weight_BM: Tensor) -> Tensor:
    """Lowest Z among the members of each response's aggregate, 0 where it has none."""
    if z_BM.shape[1] == 0:
        return z_BM.new_zeros(z_BM.shape[0])
    lowest_B = torch.where(weight_BM > 0, z_BM, float("inf")).amin(dim=1)
    return torch.where(torch.isfinite(lowest_B), lowest_B, 0.0)


def _group_mean(values_BM: Tensor, present_BM: Tensor, group_B: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and count of the present values of each group and column."""
    groups = int(group_B.max()) + 1 if group_B.numel() else 0
    zeros_GM = values_BM.new_zeros(groups, values_BM.shape[1])
    sum_GM = zeros_GM.index_add(0, group_B, torch.where(present_BM, values_BM, 0.0))
    count_GM = zeros_GM.index_add(0, group_B, present_BM.to(values_BM.dtype))
    return sum_GM / count_GM.clamp(min=1), count_GM


def _group_extreme(values_BM: Tensor, present_BM: Tensor, group_B: Tensor, reduce: str) -> Tensor:
    """Lowest or highest present value of each group and column, given back to the group's responses."""
    nothing = float("inf") if reduce == "amin" else float("-inf")
    groups = int(group_B.max()) + 1 if group_B.numel() else 0
    extreme_GM = values_BM.new_full((groups, values_BM.shape[1]), nothing)
    index_BM = group_B[:, None].expand_as(values_BM)
    extreme_GM = extreme_GM.scatter_reduce(0, index_BM, torch.where(present_BM, values_BM, nothing), reduce)
    return extreme_GM[group_B]


def _matrix_shape(rewards_BM: Tensor) -> tuple[int, int]:
    if rewards_BM.dim() != 2:
        raise ValueError(f"rewards_BM has shape {tuple(rewards_BM.shape)}, expected (responses, rewards)")
    return rewards_BM.shape[0], rewards_BM.shape[1]

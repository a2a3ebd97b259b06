"""Aggregations beyond the paper's, as `rvpo_verl.core.aggregations` defines them, and two ways to set their inputs.

A training uses one of them with `algorithm.rvpo.aggregation=experiment.variants:NAME`.

Shapes: B responses, M rewards.
"""

import torch
from torch import Tensor

from rvpo_verl.core.aggregations import Aggregation, AggregationContext, lowest, mean, softmin


def mixed(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """(mean + softmin_k) / 2: a single success keeps half of its value under the mean, which is not capped."""
    mean_B = mean(z_BM, weight_BM, context)
    return mean_B + 0.5 * (softmin(z_BM, weight_BM, context) - mean_B)


def softmin_with_bonus(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """softmin_k plus the sum of max(Z - 1.5, 0): credit for rare successes, whose Z is large."""
    return softmin(z_BM, weight_BM, context) + _above(z_BM, weight_BM, 1.5)


def guarded_bonus(
    z_BM: Tensor,
    weight_BM: Tensor,
    context: AggregationContext,
    *,
    above: float = 1.5,
    full: float = -1.0,
    none: float = -2.0,
) -> Tensor:
    """softmin_k plus the sum of max(Z - above, 0), as far as the response loses nothing for it.

    The bonus counts in full where the lowest Z is at least `full`, not at all where it is at most `none`, and
    in proportion between: a shortcut that raises some rewards by breaking another earns none.
    """
    guard_B = ((lowest(z_BM, weight_BM) - none) / (full - none)).clamp(0, 1)
    return softmin(z_BM, weight_BM, context) + guard_B * _above(z_BM, weight_BM, above)


def averse_to_loss(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """The mean where no Z is below 0, softmin_k where the lowest is at most -1, in proportion between."""
    mean_B = mean(z_BM, weight_BM, context)
    share_B = (lowest(z_BM, weight_BM) / -1.0).clamp(0, 1)
    return mean_B + share_B * (softmin(z_BM, weight_BM, context) - mean_B)


def mean_with_tail(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """Mean plus softmin_k of min(Z + 1, 0): GDPO, and risk aversion for rare failures only.

    A reward that a share p of the group's responses gets fails with Z = -sqrt(p / (1 - p)): only failures of
    what more than half of the group gets right are in the tail.
    """
    tail_B = softmin((z_BM + 1.0).clamp(max=0), weight_BM, context)
    return mean(z_BM, weight_BM, context) + tail_B


def shrunk(trust_M: Tensor) -> Aggregation:
    """softmin_k with each Z scaled by the reliability of its reward."""
    return lambda z_BM, weight_BM, context: softmin(z_BM * trust_M, weight_BM, context)


def _above(z_BM: Tensor, weight_BM: Tensor, level: float) -> Tensor:
    return ((z_BM - level).clamp(min=0) * (weight_BM > 0)).sum(dim=1)


def effective_share(z_BM: Tensor, member_BM: Tensor, k: float) -> Tensor:
    """exp(entropy of the soft minimum's weights) / number of members, averaged over the responses.

    Responses with fewer than two members say nothing about k. 1 where none has more.
    """
    count_B = member_BM.sum(dim=1)
    counts_B = count_B >= 2
    if not counts_B.any():
        return z_BM.new_ones(())
    z_BM, member_BM, count_B = z_BM[counts_B], member_BM[counts_B], count_B[counts_B]
    log_weight_BM = torch.where(member_BM, -k * z_BM, -torch.inf).log_softmax(dim=1)
    weight_BM = log_weight_BM.exp()
    entropy_B = -(weight_BM * torch.where(member_BM, log_weight_BM, 0.0)).sum(dim=1)
    return (entropy_B.exp() / count_B).mean()


def adaptive_k(
    z_BM: Tensor, member_BM: Tensor, *, target: float, low: float = 0.25, high: float = 8.0, halvings: int = 8
) -> float:
    """The k in [low, high] at which `effective_share` is `target`; it falls as k grows.

    Args:
        member_BM: the rewards that vary in their group: constant ones would keep the weights uniform.
    """
    for _ in range(halvings):
        middle = (low * high) ** 0.5
        if effective_share(z_BM, member_BM, middle) > target:
            low = middle
        else:
            high = middle
    k: float = (low * high) ** 0.5
    return k


def reliability(first_BM: Tensor, second_BM: Tensor, groups_G: int) -> Tensor:
    """(M,) reliability of the mean of two verdicts, from how far they agree within groups.

    Correlation of the deviations from each group's mean, stepped up by Spearman and Brown's 2r / (1 + r),
    in [0, 1]; 1 where nothing varies. Groups are consecutive and of equal size.
    """
    pair = torch.stack([first_BM, second_BM]).double()
    pair = pair.view(2, groups_G, -1, pair.shape[-1])
    first, second = pair - pair.mean(dim=2, keepdim=True)
    covariance_M = (first * second).sum(dim=(0, 1))
    spread_M = (first.square().sum(dim=(0, 1)) * second.square().sum(dim=(0, 1))).sqrt()
    r_M = torch.where(spread_M > 1e-12, covariance_M / spread_M.clamp(min=1e-12), 1.0).clamp(0, 1)
    return 2 * r_M / (1 + r_M)

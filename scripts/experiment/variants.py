"""Aggregations beyond the paper's, as pure functions of Z: prototypes, of which the useful ones move to rvpo_verl.

Shapes: B responses, M rewards. Members are the rewards with weight; weights sum to 1 (`normalise_weights`).
"""

import torch
from torch import Tensor

from rvpo_verl.core.advantage import aggregate


def mixed(z_BM: Tensor, weight_BM: Tensor, k: float, share: float) -> Tensor:
    """(1 - share) mean + share softmin_k: a lone success keeps (1 - share) of the mean's uncapped worth."""
    mean_B = aggregate(z_BM, weight_BM, aggregation="mean")
    return mean_B + share * (aggregate(z_BM, weight_BM, k=k) - mean_B)


def softmin_with_bonus(z_BM: Tensor, weight_BM: Tensor, k: float, above: float) -> Tensor:
    """softmin_k plus the sum of max(Z - above, 0): credit for successes so rare that Z exceeds `above`."""
    bonus_B = ((z_BM - above).clamp(min=0) * (weight_BM > 0)).sum(dim=1)
    return aggregate(z_BM, weight_BM, k=k) + bonus_B


def guarded_bonus(
    z_BM: Tensor, weight_BM: Tensor, k: float, above: float, full: float, none: float
) -> Tensor:
    """softmin_k plus the bonus above, as far as the response gives nothing up for it.

    The bonus counts in full where the lowest Z is at least `full`, not at all where it is at most `none`, and
    in proportion between: a shortcut that lifts some rewards by breaking another earns none.
    """
    member_BM = weight_BM > 0
    lowest_B = torch.where(member_BM, z_BM, torch.inf).amin(dim=1)
    guard_B = ((lowest_B - none) / (full - none)).clamp(0, 1)
    bonus_B = ((z_BM - above).clamp(min=0) * member_BM).sum(dim=1)
    return aggregate(z_BM, weight_BM, k=k) + guard_B * bonus_B


def averse_to_loss(z_BM: Tensor, weight_BM: Tensor, k: float, full: float) -> Tensor:
    """Between the mean, where no Z is below 0, and softmin_k, where the lowest is at most `full`."""
    mean_B = aggregate(z_BM, weight_BM, aggregation="mean")
    lowest_B = torch.where(weight_BM > 0, z_BM, torch.inf).amin(dim=1)
    share_B = (lowest_B / full).clamp(0, 1)
    return mean_B + share_B * (aggregate(z_BM, weight_BM, k=k) - mean_B)


def mean_with_tail(z_BM: Tensor, weight_BM: Tensor, k: float, below: float) -> Tensor:
    """Mean plus softmin_k of min(Z + below, 0): GDPO, and risk aversion for rare failures alone.

    A reward that a share p of the group's responses gets fails with Z = -sqrt(p / (1 - p)): with below = 1
    only failures of what more than a half gets right are in the tail.
    """
    tail_B = aggregate((z_BM + below).clamp(max=0), weight_BM, k=k)
    return aggregate(z_BM, weight_BM, aggregation="mean") + tail_B


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
    return (low * high) ** 0.5


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

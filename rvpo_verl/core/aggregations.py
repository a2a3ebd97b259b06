"""From the standardized rewards of a response to one value: the four built-in aggregations, and a user's own.

    softmin    -(1/k) log sum_j w_j exp(-k Z_j)       RVPO, arXiv:2605.05750
    mean       sum_j w_j Z_j                          GDPO, arXiv:2601.05242; softmin at k = 0
    minimum    min_j Z_j                              softmin at k = inf
    variance   mean - beta sum_j w_j (Z_j - mean)^2   the explicit penalty; softmin to second order at beta = k/2

All are entry points of group `rvpo_verl.aggregations`. An aggregation treats each response by itself.

Shapes: B responses, M rewards.
"""

import difflib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import entry_points

import torch
from torch import Tensor

from rvpo_verl.core.schedule import Schedule, value_at
from rvpo_verl.errors import ConfigError

__all__ = ["mean", "minimum", "softmin", "variance"]

GROUP = "rvpo_verl.aggregations"


@dataclass(frozen=True)
class AggregationContext:
    """What an aggregation may use beside Z and the weights."""

    k_or_schedule: float | Schedule = 2.0
    """Risk coefficient, at least 0, as it was configured."""
    beta: float = 1.0
    """Penalty of the aggregation `variance`, at least 0."""
    step: int | None = None
    """Global step, from 1; None outside of a trainer."""
    total_steps: int | None = None
    """Steps of the whole run; None outside of a trainer."""

    @cached_property
    def k(self) -> float:
        """The risk coefficient at this step. Computed on first use: aggregations without k need no step.

        Raises:
            UserError: it follows a schedule that needs a step, or a run length, which is not known.
        """
        return value_at(self.k_or_schedule, self.step, self.total_steps)

    @property
    def used_k(self) -> float | None:
        """k, if the aggregation asked for it."""
        return vars(self).get("k")


Aggregation = Callable[[Tensor, Tensor, AggregationContext], Tensor]
"""`(z_BM, weight_BM, context) -> A_B`.

    z_BM: float64 standardized rewards, 0 where a reward is missing or constant in its group.
    weight_BM: float64, at least 0; each row sums to 1, or is all 0 for a response without rewards, whose value is
        then 0. Missing rewards have weight 0.
"""


def softmin(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """-(1/k) log sum_j w_j exp(-k Z_j): (B,), from the mean at k = 0 to the minimum at k = inf: RVPO, arXiv:2605.05750.

    Computed as `min Z - (1/k) log1p(sum_j w_j expm1(-k (Z_j - min Z)))`: the same number as the paper's,
    without overflow at large k and without cancellation at small k.

    Raises:
        ValueError: a negative k.
    """
    k = context.k
    if not k >= 0:
        raise ValueError(f"k={k}; the risk coefficient must be at least 0")
    if k == 0:
        return mean(z_BM, weight_BM, context)
    lowest_B = lowest(z_BM, weight_BM)
    if k == float("inf"):
        return lowest_B
    below_BM = (z_BM - lowest_B[:, None]).clamp_(min=0).mul_(-k)
    return lowest_B - torch.log1p((weight_BM * torch.expm1(below_BM)).sum(dim=1)) / k


def mean(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """sum_j w_j Z_j, (B,): GDPO, arXiv:2601.05242."""
    return (weight_BM * z_BM).sum(dim=1)


def minimum(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """min_j Z_j, (B,), among the rewards with weight: softmin at k = inf."""
    return lowest(z_BM, weight_BM)


def variance(z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """mean - beta sum_j w_j (Z_j - mean)^2, (B,): the explicit penalty; softmin to second order at
    beta = k/2."""
    mean_B = mean(z_BM, weight_BM, context)
    return mean_B - context.beta * (weight_BM * (z_BM - mean_B[:, None]).square()).sum(dim=1)


def lowest(z_BM: Tensor, weight_BM: Tensor) -> Tensor:
    """Lowest Z among the rewards with weight of each response, 0 where it has none."""
    if z_BM.shape[1] == 0:
        return z_BM.new_zeros(z_BM.shape[0])
    lowest_B = torch.where(weight_BM > 0, z_BM, float("inf")).amin(dim=1)
    return torch.where(torch.isfinite(lowest_B), lowest_B, 0.0)


def shares(aggregation: Aggregation, z_BM: Tensor, weight_BM: Tensor, context: AggregationContext) -> Tensor:
    """dA/dZ: how much of a response's value each reward decides."""
    if aggregation is mean:
        return weight_BM
    if aggregation is not softmin:
        with torch.enable_grad():
            z_BM = z_BM.detach().requires_grad_()
            total = aggregation(z_BM, weight_BM, context).sum()
            (share_BM,) = torch.autograd.grad(total, z_BM, allow_unused=True, materialize_grads=True)
        return torch.where(weight_BM > 0, share_BM, 0.0)
    if context.k == 0:
        return weight_BM
    above_BM = (z_BM - lowest(z_BM, weight_BM)[:, None]).clamp_(min=0)
    # k = inf: all the weight on the lowest, shared among equals (0 * inf would be NaN).
    decay_BM = (above_BM == 0).double() if context.k == float("inf") else above_BM.mul_(-context.k).exp_()
    unnormalized_BM = decay_BM.mul_(weight_BM)
    total_B1 = unnormalized_BM.sum(dim=1, keepdim=True)
    return unnormalized_BM.div_(torch.where(total_B1 > 0, total_B1, 1.0))


@cache  # the metadata of every installed distribution is read for it
def available() -> dict[str, str]:
    """`package.module:function` by the name of every installed aggregation, none imported."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def find(name: str) -> Aggregation:
    """The aggregation of an entry point, or at `package.module:function`, tried on a small example.

    Raises:
        ConfigError: there is none, it cannot be imported, or it does not do what an aggregation does.
    """
    installed = available()
    target = name if ":" in name else installed.get(name)
    if target is None:
        near = difflib.get_close_matches(name, installed, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        if "softmin" not in installed:
            hint += (
                " (the built-in ones are not installed: install rvpo-verl again, also after updating a clone)"
            )
        raise ConfigError(
            f"aggregation={name!r}: no such aggregation{hint}; accepted: {', '.join(sorted(installed))} (entry "
            f"points of group {GROUP!r}), or package.module:function"
        )
    try:
        aggregation: Aggregation = pkgutil.resolve_name(target)
    except Exception as error:
        raise ConfigError(f"aggregation={name!r}: importing {target} failed: {error!r}") from error
    _try(aggregation, name)
    return aggregation


def _try(aggregation: Aggregation, name: str) -> None:
    contract = "an aggregation is a function (z_BM, weight_BM, context) -> one finite value for each response"
    try:
        inspect.signature(aggregation).bind(None, None, None)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"aggregation={name!r} cannot be called: {error}; {contract}") from None
    # The last response has no reward.
    z_BM = torch.tensor([[1.0, -1.0], [0.5, 0.0], [0.0, 0.0]], dtype=torch.float64)
    weight_BM = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    try:
        value_B = aggregation(z_BM, weight_BM, AggregationContext(step=1, total_steps=1))
    except Exception as error:
        raise ConfigError(
            f"aggregation={name!r} failed on an example of three responses with two rewards: {error!r}; {contract}"
        ) from error
    shape = tuple(getattr(value_B, "shape", ()))
    if shape != (3,) or not isinstance(value_B, Tensor) or not torch.isfinite(value_B).all():
        raise ConfigError(
            f"aggregation={name!r} returned {value_B!r} for three responses with two rewards; {contract}, 0 for a "
            "response without rewards"
        )

"""What turns the rewards of a batch into advantages, by name.

Everything runs through `rvpo_verl.core.advantage`; only the variants' aggregation is their own.

Shapes: R runs, N responses of each run, M rewards. The responses of a group are consecutive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from experiment import variants
from rvpo_verl.config import ScheduleConfig
from rvpo_verl.core import advantage as rvpo
from rvpo_verl.core.schedule import k_at

Aggregate = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Method:
    name: str
    label: str
    aggregation: str = "softmin"
    k: float | ScheduleConfig = 2.0
    beta: float = 1.0
    center_groups: bool = False
    """False is the paper's form."""
    constant_rewards: str = "keep"
    sum_rewards: bool = False
    """GRPO: the sum of the raw rewards, standardised in its group, not whitened."""
    bonus: float = 0.0
    """Credit for rare successes that give nothing up."""
    variant: Aggregate | None = None
    """(z_BM, weight_BM, k) -> aggregate, in place of `aggregation`."""
    target: float | None = None
    """Effective share of rewards that an adaptive k holds."""
    shrink: bool = False
    """Scale each Z by the reliability of its judge; needs two verdicts."""
    paper: bool = True
    """Whether the paper compares it."""


def _linear(start: float, end: float, over: str | int = "run") -> ScheduleConfig:
    return ScheduleConfig(schedule="linear", from_=start, to=end, over=over)


def _ours(name: str, label: str, **options: object) -> Method:
    return Method(name, label, paper=False, **options)


METHODS = {
    method.name: method
    for method in [
        Method("grpo", "GRPO", sum_rewards=True),
        Method("gdpo", "GDPO", aggregation="mean"),
        Method("k0.5", "RVPO k=0.5", k=0.5),
        Method("k1", "RVPO k=1", k=1.0),
        Method("k2", "RVPO k=2", k=2.0),
        Method("k5", "RVPO k=5", k=5.0),
        Method("rising", "RVPO k 0.5 to 2", k=_linear(0.5, 2.0)),
        Method("min", "hard min", aggregation="min"),
        Method("variance", "mean − variance", aggregation="variance", beta=1.0),
        _ours("falling", "k 2 to 0.5", k=_linear(2.0, 0.5)),
        _ours("k2+c", "k=2, centred", center_groups=True),
        _ours("k5+c", "k=5, centred", k=5.0, center_groups=True),
        _ours("k2+c+drop", "k=2, centred, constants dropped", center_groups=True, constant_rewards="drop"),
        _ours("adaptive", "adaptive k, 60% effective", center_groups=True, target=0.6),
        _ours(
            "mixed5", "half mean, half k=5",
            k=5.0, variant=partial(variants.mixed, share=0.5), center_groups=True,
        ),
        _ours(
            "bonus2", "k=2 and unguarded bonus",
            variant=partial(variants.softmin_with_bonus, above=1.5), center_groups=True,
        ),
        _ours("guarded2", "k=2 and bonus", bonus=1.0, center_groups=True),
        _ours("guarded5", "k=5 and bonus", k=5.0, bonus=1.0, center_groups=True),
        _ours(
            "guarded2 strict", "k=2 and bonus above 1.5",
            variant=partial(variants.guarded_bonus, above=1.5, full=-1.0, none=-2.0), center_groups=True,
        ),
        _ours(
            "averse2", "mean to k=2 with the loss",
            variant=partial(variants.averse_to_loss, full=-1.0), center_groups=True,
        ),
        _ours(
            "tail2", "mean and tail of rare failures, k=2",
            variant=partial(variants.mean_with_tail, below=1.0), center_groups=True,
        ),
        _ours(
            "tail5", "mean and tail of rare failures, k=5",
            k=5.0, variant=partial(variants.mean_with_tail, below=1.0), center_groups=True,
        ),
        _ours("k2+c+shrink", "k=2, centred, Z shrunk by reliability", center_groups=True, shrink=True),
    ]
}  # fmt: skip


@dataclass(frozen=True)
class Computed:
    advantage_RN: Tensor
    """float32."""
    constant_RM: Tensor
    """Share of each run's groups in which the reward does not vary."""
    k_R: list[float]


def compute(
    method: Method,
    rewards_RNM: Tensor,
    length_RN: Tensor,
    group_size: int,
    step: int,
    total_steps: int,
    *,
    verdicts: tuple[Tensor, Tensor] | None = None,
) -> Computed:
    """Advantages of the runs of one method.

    Args:
        rewards_RNM: the rewards to learn from; the mean of `verdicts` if those are given.
        step, total_steps: from 1, as verl counts.
        verdicts: two (R, N, M) judgements of the same responses.

    Raises:
        ValueError: `shrink` without two verdicts.
    """
    R, N, M = rewards_RNM.shape
    group_B = torch.arange(R * N) // group_size
    rewards_BM, length_B = rewards_RNM.reshape(R * N, M), length_RN.reshape(R * N)
    if method.sum_rewards:
        total_B1 = rewards_BM.double().sum(dim=1, keepdim=True)
        result = rvpo.advantage(total_B1, group_B, length_B, aggregation="mean", whitening="none")
        standardised = rvpo.standardise(rewards_BM, group_B)
        return Computed(
            result.advantage_B.view(R, N).float(), _constant(standardised, R, group_size), [0.0] * R
        )

    standardised = rvpo.standardise(rewards_BM, group_B)
    member_BM = standardised.present_BM
    varies_BM = member_BM & ~standardised.constant_BM
    weight_BM = rvpo.normalise_weights(varies_BM if method.constant_rewards == "drop" else member_BM)
    z_BM = standardised.z_BM
    if method.shrink:
        if verdicts is None:
            raise ValueError(
                f"{method.name} shrinks Z by reliability, which takes two verdicts of each reward"
            )
        trust_RM = torch.stack(
            [variants.reliability(a, b, N // group_size) for a, b in zip(*verdicts, strict=True)]
        )
        z_BM = z_BM * trust_RM.repeat_interleave(N, dim=0)

    k = k_at(method.k, step, total_steps)
    k_R = [k] * R
    if method.target is not None:
        z_RNM, varies_RNM = z_BM.view(R, N, M), varies_BM.view(R, N, M)
        k_R = [variants.adaptive_k(z_RNM[r], varies_RNM[r], target=method.target) for r in range(R)]
        parts = [rvpo.aggregate(z_RNM[r], weight_BM.view(R, N, M)[r], k=k_R[r]) for r in range(R)]
        aggregate_B = torch.cat(parts)
    elif method.variant is not None:
        aggregate_B = method.variant(z_BM, weight_BM, k)
    else:
        aggregate_B = rvpo.aggregate(z_BM, weight_BM, aggregation=method.aggregation, k=k, beta=method.beta)
    if method.bonus:
        aggregate_B = aggregate_B + method.bonus * rvpo.success_bonus(z_BM, weight_BM)

    aggregate_RN = aggregate_B.view(R, N)
    if method.center_groups:
        in_groups = aggregate_RN.view(R, -1, group_size)
        aggregate_RN = (in_groups - in_groups.mean(dim=2, keepdim=True)).view(R, N)
    takes_part_N = torch.ones(N, dtype=torch.bool)
    advantage_RN = torch.stack(
        [rvpo.whiten(aggregate_RN[r], takes_part_N, length_RN[r], "token") for r in range(R)]
    )
    return Computed(advantage_RN.float(), _constant(standardised, R, group_size), k_R)


def _constant(standardised: rvpo.Standardised, runs: int, group_size: int) -> Tensor:
    """Every response of a group carries the group's flag: one of each says it all."""
    first_GM = standardised.constant_BM[::group_size].float()
    return first_GM.view(runs, -1, first_GM.shape[1]).mean(dim=1)

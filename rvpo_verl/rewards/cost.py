"""What the rewards of a batch cost, such as calls and tokens of a judge, and the limit of it."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rvpo_verl.rewards.vector import RewardVector

TOKENS = ("tokens_in", "tokens_out")


def cost_metrics(vectors: Sequence[RewardVector]) -> dict[str, float]:
    """Sums of what rewards counted, and percentiles of what they measured, as `rvpo/REWARD/NAME`."""
    counted: defaultdict[str, float] = defaultdict(float)
    measured: dict[str, list[float]] = defaultdict(list)
    for vector in vectors:
        for reward, figures in vector.figures.items():
            for name, value in figures.items():
                key = f"rvpo/{reward}/{name}"
                if isinstance(value, list):
                    measured[key] += value
                else:
                    counted[key] += value
    metrics = {key: float(value) for key, value in counted.items()}
    for key, values in measured.items():
        if values:
            metrics[f"{key}_p50"], metrics[f"{key}_p95"] = map(float, np.percentile(values, (50, 95)))
    return metrics


class TokenBudget:
    """Says when the tokens of all rewards since the command started come near to a limit."""

    def __init__(self, most: int | None):
        """
        Args:
            most: tokens; None for no limit.
        """
        self._most = most
        self._spent = self._largest = 0.0

    def spend(self, metrics: dict[str, float]) -> str | None:
        """Adds a batch, of which `metrics` are the `cost_metrics`.

        Returns:
            Why only one more batch should be scored, or None. With two more like the largest so far, the limit would be
            exceeded.
        """
        if self._most is None:
            return None
        tokens = sum(value for key, value in metrics.items() if key.endswith(TOKENS))
        self._spent += tokens
        self._largest = max(self._largest, tokens)
        if self._spent + 2 * self._largest <= self._most:
            return None
        return (
            f"the rewards have used {self._spent:,.0f} tokens, up to {self._largest:,.0f} in a step, and may use "
            f"reward.rvpo.max_tokens_total={self._most:,}: the next step is the last of this training"
        )

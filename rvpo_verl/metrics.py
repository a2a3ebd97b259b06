"""The metrics that are logged on every step, under `rvpo/` in verl's logger.

NAME is the name of a reward or of one of its declared outputs. The values of a dict without declared outputs share the
part before the last `/`: `rubric/Essential` for `rubric/Essential/3`. CAUSE is what comes before the colon of a cause
of failure, such as `TimeoutError`.
"""

__all__ = ["METRICS"]

METRICS = {
    "k": "the risk coefficient in force; only of aggregations that use it",
    "NAME/mean": "mean of the raw reward; one that falls while the others rise is being neglected: raise k",
    "NAME/std": "standard deviation of the raw reward over the batch",
    "NAME/best": "highest value in the batch: one far above the mean is there to be learned",
    "NAME/worst": "lowest value in the batch",
    "NAME/missing": "share of responses without it, 0 to 1: not applicable, or failed",
    "NAME/failed": "share of failed calls, or of failed verdicts, 0 to 1 (manager `rvpo`)",
    "NAME/failed/CAUSE": "the same, by cause",
    "NAME/failed_alone": "share of answers, 0 to 1, on which it failed because of what they say, though not on the "
    "others of their groups; above 0.02 the policy may be learning to make a judge fail",
    "NAME/disagreement": "mean disagreement between repeated votes of a judge, or between judges, 0 to 1",
    "NAME/calls": "calls of a judge in the batch",
    "NAME/retries": "those of them that were not the first on their question",
    "NAME/tokens_in": "tokens that a judge read in the batch",
    "NAME/tokens_out": "tokens that it wrote",
    "NAME/latency_p50": "median seconds of a call of a judge, once it is sent",
    "NAME/latency_p95": "95th percentile of them",
    "NAME/constant_groups": "share of groups in which it does not vary and so teaches nothing, 0 to 1; near 1 for a "
    "hard reward means that it is not discovered: lower k, or a larger group",
    "NAME/bottleneck": "share of responses where it is the lowest Z, 0 to 1. Jumping from reward to reward between "
    "steps: k is too high",
    "NAME/weight": "its mean share in the gradient of the aggregate, 0 to 1; as configured at k = 0",
    "NAME/scheduled_weight": "the weight in force, where it follows a schedule",
    "NAME/frozen": "1 while it is constant in nearly all groups and low, although better values occurred; else 0",
    "NAME/neglected": "1 while it falls and most others rise; else 0",
    "no_signal": "1 where no reward with a weight varies in any group: the step teaches nothing; else 0",
    "reward_variance": "mean variance of Z between the rewards of a response: how much they conflict",
    "below_mean": "mean distance of the aggregate below the mean of Z, about k/2 times the variance above",
    "aggregate_std": "standard deviation of the aggregate before whitening; when it is small, whitening magnifies "
    "small differences",
    "constant_groups/share": "share of groups in which no reward varies, 0 to 1",
    "constant_groups/advantage": "mean advantage of those groups, close to 0 with `center_groups`",
}
"""What each metric means, by its name after `rvpo/`."""

"""RVPO written the slow, obvious way: plain Python, one response and one reward at a time."""

import math
import statistics

from mpmath import mp, mpf

mp.dps = 60


def standardize(rewards, groups, valid, eps=1e-6):
    """Z as nested lists, None where the reward is missing."""
    z: list[list[float | None]] = [[None] * len(row) for row in rewards]
    for i, row in enumerate(rewards):
        for j, reward in enumerate(row):
            if not valid[i] or not math.isfinite(reward):
                continue
            peers = [
                rewards[other][j]
                for other in range(len(rewards))
                if groups[other] == groups[i] and valid[other] and math.isfinite(rewards[other][j])
            ]
            if len(set(peers)) == 1:
                z[i][j] = 0.0
            else:
                z[i][j] = (reward - statistics.fmean(peers)) / (statistics.stdev(peers) + eps)
    return z


def aggregate(z_row, weights, aggregation, k, beta):
    """One response: Z and weight of its members."""
    total = sum(weights)
    weights = [weight / total for weight in weights]
    mean = sum(w * z for w, z in zip(weights, z_row, strict=True))
    if aggregation == "mean":
        return mean
    if aggregation == "variance":
        return mean - beta * sum(w * (z - mean) ** 2 for w, z in zip(weights, z_row, strict=True))
    if aggregation == "min" or k == math.inf:
        return min(z for w, z in zip(weights, z_row, strict=True) if w > 0)
    if k == 0:
        return mean
    # The weights are normalized again: a rounding error in their sum would be divided by k.
    terms = [mpf(w) * mp.exp(-mpf(k) * mpf(z)) for w, z in zip(weights, z_row, strict=True)]
    return float(-mp.log(sum(terms) / sum(map(mpf, weights))) / mpf(k))


def advantage(
    rewards,
    groups,
    lengths,
    *,
    valid=None,
    weights=None,
    aggregation="softmin",
    k=2.0,
    beta=1.0,
    eps=1e-6,
    constant_rewards="keep",
    bonus=0.0,
    center_groups=True,
    whitening="token",
):
    rows = range(len(rewards))
    valid = valid or [True] * len(rewards)
    weights = weights or [[1.0] * len(row) for row in rewards]
    z = standardize(rewards, groups, valid, eps)
    takes_part = [any(value is not None for value in row) for row in z]

    def is_constant(i, j):
        return all(z[o][j] in (None, 0.0) for o in rows if groups[o] == groups[i])

    values = []
    for i in rows:
        members = [j for j, value in enumerate(z[i]) if value is not None]
        if constant_rewards == "drop":
            members = [j for j in members if not is_constant(i, j)]
        if not any(weights[i][j] for j in members):
            values.append(0.0)
            continue
        value = aggregate([z[i][j] for j in members], [weights[i][j] for j in members], aggregation, k, beta)
        weighted = [j for j in members if weights[i][j] > 0]
        guard = min(1.0, max(0.0, 1 + min(z[i][j] for j in weighted)))
        credit = sum(weights[i][j] * max(z[i][j] - 1, 0.0) for j in weighted)
        total = sum(weights[i][j] for j in weighted)
        values.append(value + bonus * guard * len(weighted) * credit / total)

    if center_groups:
        centered = []
        for i in rows:
            peers = [values[o] for o in rows if groups[o] == groups[i] and takes_part[o]]
            centered.append(values[i] - statistics.fmean(peers) if takes_part[i] else 0.0)
        values = centered

    if whitening != "none":
        sample = [
            values[i]
            for i in rows
            if takes_part[i]
            for _ in range(int(lengths[i]) if whitening == "token" else 1)
        ]
        if sample:
            mean = statistics.fmean(sample)
            variance = sum((value - mean) ** 2 for value in sample) / max(len(sample) - 1, 1)
            values = [(value - mean) / math.sqrt(variance + 1e-8) for value in values]
    return [value if part else 0.0 for value, part in zip(values, takes_part, strict=True)]

"""What scoring a batch has to report beside the scores: failures and disagreement.

When too much of a reward failed, training on the rest would teach something else.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rvpo_verl.config import RewardsConfig
from rvpo_verl.names import family, reward_of
from rvpo_verl.rewards.vector import RewardVector


class RewardFailureError(RuntimeError):
    """A larger share of a reward failed than `reward.rvpo.max_failure_share` accepts."""


@dataclass(frozen=True)
class Failures:
    """What failed of one reward in a batch, as shares of what it was asked for."""

    share: float
    by_kind: dict[str, float]
    """Of it, by what comes before the colon of the cause: the type of an exception, `timeout`, ..."""


def scoring_metrics(vectors: Sequence[RewardVector], config: RewardsConfig) -> dict[str, float]:
    """What to log about the scoring of a batch, by name.

    Raises:
        RewardFailureError: too much of a reward failed.
    """
    metrics: dict[str, float] = {}
    for name, failures in failure_shares(vectors, config).items():
        metrics[f"rvpo/{name}/failed"] = failures.share
        metrics |= {f"rvpo/{name}/failed/{kind}": share for kind, share in failures.by_kind.items()}
    return metrics | {f"rvpo/{name}/disagreement": value for name, value in disagreements(vectors).items()}


def disagreements(vectors: Sequence[RewardVector]) -> dict[str, float]:
    """Average disagreement between repeated measurements, by family, for the families that have any."""
    found: dict[str, list[float]] = defaultdict(list)
    for vector in vectors:
        for name, disagreement in vector.disagreements.items():
            found[family(name)].append(disagreement)
    return {name: fmean(values) for name, values in found.items()}


def failure_shares(vectors: Sequence[RewardVector], config: RewardsConfig) -> dict[str, Failures]:
    """Failures by reward, among the responses that it scored or failed on.

    What is counted are calls; for a reward whose scores can fail one by one, as the verdicts of a rubric do,
    they are scores. A call of such a reward that failed as a whole counts as many as the others have on average.

    Raises:
        RewardFailureError: a share is above `config.max_failure_share`.
    """
    if not any(vector.failures for vector in vectors):
        return {reward: Failures(0.0, {}) for reward in config.rewards}
    reward_by_output = {
        output: reward for reward, spec in config.rewards.items() for output in spec.outputs or ()
    }
    tallies = {reward: _Tally() for reward in config.rewards}
    for vector in vectors:
        scored = set()
        for name, score in vector.scores.items():
            reward = reward_by_output.get(name) or reward_of(name)
            if reward not in tallies or reward in vector.failures:
                continue
            if score is None and name not in vector.failures:
                continue
            scored.add(reward)
            if score is None:
                tallies[reward].single[vector.failures[name]] += 1
            else:
                tallies[reward].scores += 1
        for reward in scored:
            tallies[reward].responses += 1
        for reward in tallies.keys() & vector.failures.keys():
            tallies[reward].whole[vector.failures[reward]] += 1
    return {reward: _failures(reward, tally, config) for reward, tally in tallies.items()}


@dataclass
class _Tally:
    """What became of one reward in a batch."""

    whole: Counter[str] = field(default_factory=Counter)
    """Calls that failed, by cause."""
    responses: int = 0
    """Calls that did not."""
    single: Counter[str] = field(default_factory=Counter)
    """Scores of those that failed by themselves, by cause."""
    scores: int = 0
    """Scores of those that are there."""


def _failures(reward: str, tally: _Tally, config: RewardsConfig) -> Failures:
    each = 1.0
    if tally.single:
        what, scored = "verdicts", tally.scores
        each = (tally.scores + tally.single.total()) / tally.responses
    else:
        what, scored = "responses", tally.responses
    causes = tally.single + Counter({cause: round(count * each) for cause, count in tally.whole.items()})
    asked = causes.total() + scored
    by_kind: defaultdict[str, float] = defaultdict(float)
    for cause, count in causes.items():
        by_kind[cause.partition(":")[0]] += count / asked
    share = causes.total() / asked if asked else 0.0
    if share > config.max_failure_share:
        listed = "; ".join(f"{cause} ({count} times)" for cause, count in causes.most_common(3))
        raise RewardFailureError(
            f"reward {reward!r} failed for {causes.total()} of {asked} {what} of a batch, {share:.0%}, more than "
            f"reward.rvpo.max_failure_share={config.max_failure_share:.0%}. Causes: {listed}. The first failure of "
            "each kind was logged by the reward workers; fix the reward, give it more time, or accept a larger share"
        )
    return Failures(share, dict(by_kind))

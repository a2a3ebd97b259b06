"""When too much of a reward failed, training on what is left would teach something else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rvpo_verl.config import RewardsConfig
from rvpo_verl.rewards.vector import RewardVector


class RewardFailureError(RuntimeError):
    """A larger share of a reward failed than `reward.rvpo.max_failure_share` accepts."""


@dataclass(frozen=True)
class Failures:
    """What failed of one reward in a batch, as shares of what it was asked for."""

    share: float
    by_kind: dict[str, float]
    """Of it, by what comes before the colon of the cause: the type of an exception, `timeout`, ..."""


def failure_shares(vectors: Sequence[RewardVector], config: RewardsConfig) -> dict[str, Failures]:
    """Failures by reward, among the responses that it scored or failed on.

    What is counted are calls; for a reward whose scores can fail one by one, as the verdicts of a rubric do,
    they are scores. A call of such a reward that failed as a whole counts as many as the others have on average.

    Raises:
        RewardFailureError: a share is above `config.max_failure_share`.
    """
    return {reward: _failures(vectors, config, reward) for reward in config.rewards}


def _failures(vectors: Sequence[RewardVector], config: RewardsConfig, reward: str) -> Failures:
    outputs = set(config.rewards[reward].outputs or [reward])
    calls = Counter(vector.failures[reward] for vector in vectors if reward in vector.failures)
    single: Counter[str] = Counter()
    scored_calls = scored_scores = 0
    for vector in vectors:
        if reward in vector.failures:
            continue
        own = vector.of(reward)
        single.update(vector.failures[name] for name in own if name in vector.failures)
        present = sum(
            score is not None for name, score in vector.scores.items() if name in own or name in outputs
        )
        scored_calls += present > 0
        scored_scores += present

    if single:
        what, scored = "verdicts", scored_scores
        answered = sum(
            reward not in vector.failures
            and any(score is not None or name in vector.failures for name, score in vector.of(reward).items())
            for vector in vectors
        )
        each = (scored + single.total()) / answered
    else:
        what, scored, each = "responses", scored_calls, 1
    causes = single + Counter({cause: round(count * each) for cause, count in calls.items()})
    asked = causes.total() + scored
    by_kind: Counter[str] = Counter()
    for cause, count in causes.items():
        by_kind[cause.partition(":")[0]] += count / asked
    share = causes.total() / asked if asked else 0.0
    if share > config.max_failure_share:
        listed = "; ".join(f"{cause} ({count} times)" for cause, count in causes.most_common(3))
        raise RewardFailureError(
            f"reward {reward!r} failed for {causes.total()} of {asked} {what} of a batch, {share:.0%}, more than "
            f"reward.rvpo.max_failure_share={config.max_failure_share:.0%}. Causes: {listed}. The first failure of "
            "each kind was logged by the reward workers; mend the reward, give it more time, or accept a larger share"
        )
    return Failures(share, dict(by_kind))

"""When too many calls of a reward failed, training on what is left would teach something else."""

from collections import Counter
from collections.abc import Sequence

from rvpo_verl.config import RewardsConfig
from rvpo_verl.rewards.vector import RewardVector, family


class RewardFailureError(RuntimeError):
    """A larger share of a reward's calls failed than `reward.rvpo.max_failure_share` accepts."""


def failure_shares(vectors: Sequence[RewardVector], config: RewardsConfig) -> dict[str, float]:
    """Share of failed calls by reward, among the responses that it scored or failed on.

    Raises:
        RewardFailureError: a share is above `config.max_failure_share`.
    """
    reward_of = {output: reward for reward, spec in config.rewards.items() for output in spec.outputs or ()}
    scored_by: Counter[str] = Counter()
    for vector in vectors:
        present = [name for name, score in vector.scores.items() if score is not None]
        scored_by.update({reward_of.get(name) or family(name) for name in present} - vector.failures.keys())

    shares = {}
    for reward in config.rewards:
        causes = Counter(vector.failures[reward] for vector in vectors if reward in vector.failures)
        failed, scored = causes.total(), scored_by[reward]
        shares[reward] = failed / (failed + scored) if failed else 0.0
        if shares[reward] > config.max_failure_share:
            listed = "; ".join(f"{cause} ({count} times)" for cause, count in causes.most_common(3))
            raise RewardFailureError(
                f"reward {reward!r} failed for {failed} of {failed + scored} responses of a batch, "
                f"{shares[reward]:.0%}, more than reward.rvpo.max_failure_share={config.max_failure_share:.0%}. "
                f"Causes: {listed}. Each cause was logged once with its traceback by the reward workers; "
                "mend the reward, give it a longer timeout, or accept a larger share"
            )
    return shares

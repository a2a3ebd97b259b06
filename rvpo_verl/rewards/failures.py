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
    shares = {}
    for reward, spec in config.rewards.items():
        outputs = set(spec.outputs or [reward])
        causes = Counter(vector.failures[reward] for vector in vectors if reward in vector.failures)
        scored = sum(
            reward not in vector.failures
            and any(
                score is not None and (name in outputs or family(name) == reward)
                for name, score in vector.scores.items()
            )
            for vector in vectors
        )
        failed = causes.total()
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

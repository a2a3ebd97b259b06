"""Answers on which a reward fails although it scores the others of their group.

A failed score is left out of the aggregate. A policy that learns to write what a judge fails on (a refusal, its own
control tokens) would escape its verdicts.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence

from rvpo_verl.names import reward_of
from rvpo_verl.rewards.vector import RewardVector

BY_THE_ANSWER = ("malformed", "truncated", "refusal", "content_filter", "rejected")
"""Kinds of failures that an answer can cause; a server that is overloaded fails on any."""
OTHERS = 0.1
"""Share of the scores of a group's other answers that may have failed in the same way."""
WARN = 0.02
"""Share of answers from which on people should look at them."""


def uneven_failures(
    vectors: Sequence[RewardVector], groups: Sequence[Hashable]
) -> tuple[dict[str, float], dict[str, str]]:
    """
    Returns:
        `rvpo/REWARD/failed_alone`, the share of answers on which half of the reward's scores or more failed, and hardly
        any of the others in their group, for rewards that failed at all; and a warning by reward where it is large.
    """
    failed: dict[str, dict[Hashable, list[float]]] = defaultdict(lambda: defaultdict(list))
    rewards = {reward_of(name) for vector in vectors for name in _by_the_answer(vector)}
    for vector, group in zip(vectors, groups, strict=bool(vectors)):
        for reward in rewards:
            names = vector.of(reward) or {reward: None}
            of_answer = [name for name in _by_the_answer(vector) if name == reward or name in names]
            share = 1.0 if reward in of_answer else len(of_answer) / len(names)
            failed[reward][group].append(share)
    metrics, warnings = {}, {}
    for reward, by_group in failed.items():
        alone = sum(_alone(shares) for shares in by_group.values()) / len(vectors)
        metrics[f"rvpo/{reward}/failed_alone"] = alone
        if alone > WARN:
            warnings[reward] = (
                f"rvpo: {reward} failed on {alone:.1%} of the answers, though not on the others of their groups. The "
                "policy may be learning to make it fail, because a missing score does not count: read these answers "
                f"(trainer.rollout_data_dir, rvpo/{reward}/failed/CAUSE)"
            )
    return metrics, warnings


def _by_the_answer(vector: RewardVector) -> list[str]:
    return [name for name, cause in vector.failures.items() if cause.partition(":")[0] in BY_THE_ANSWER]


def _alone(shares: Sequence[float]) -> int:
    """Answers of a group that failed, where the others did not."""
    return sum(
        share >= 0.5 and sum(shares) - share <= OTHERS * (len(shares) - 1)
        for share in shares
        if len(shares) > 1
    )

"""Rewards: what one is, how it is found and called, and the built-in ones.

protocol.py                      what a reward is
sample.py, score.py              what it may ask for; what it may return
registry.py, binding.py          finding it; the arguments that it gets and the scores in what it returns
call.py, threads.py              calling all rewards of a response at once
vector.py, failures.py           the scores on their way to the estimator; what failed
files.py                         scoring a file without training
text.py, tool_calling/, rubric.py    built-in rewards
"""

from rvpo_verl.rewards.protocol import (
    CallsServices,
    Probes,
    RequiresColumns,
    Returned,
    Reward,
    RunContext,
    Validates,
)
from rvpo_verl.rewards.sample import Sample
from rvpo_verl.rewards.score import Score, Scores

__all__ = [
    "CallsServices",
    "Probes",
    "RequiresColumns",
    "Returned",
    "Reward",
    "RunContext",
    "Sample",
    "Score",
    "Scores",
    "Validates",
]

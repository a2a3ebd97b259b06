"""The method, pure: tensors in, tensors out. Needs torch and numpy, neither verl nor Ray.

batch.py         the rewards of a batch as one matrix
advantage.py     the equations
aggregations.py  softmin and its neighbors, and how a user's own is found
schedule.py      k(step)
metrics.py       what is logged of a batch
monitor.py       when a run's metrics show a reward frozen or neglected
compute.py       all of it in one call
"""

from rvpo_verl.core.advantage import Advantage, Groups, Standardized
from rvpo_verl.core.aggregations import Aggregation, AggregationContext
from rvpo_verl.core.batch import NamedScores, RewardBatch
from rvpo_verl.core.compute import Result, compute
from rvpo_verl.core.schedule import Schedule
from rvpo_verl.core.settings import Settings

__all__ = [
    "Advantage",
    "Aggregation",
    "AggregationContext",
    "Groups",
    "NamedScores",
    "Result",
    "RewardBatch",
    "Schedule",
    "Settings",
    "Standardized",
    "compute",
]

"""Calling the rewards of a response: all at once, none able to stop the others or the training."""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Collection
from typing import Any

from rvpo_verl.config import ConfigError, RewardsConfig
from rvpo_verl.rewards.binding import BoundReward, Scores
from rvpo_verl.rewards.sample import ARGUMENTS, Sample
from rvpo_verl.rewards.threads import Threads
from rvpo_verl.rewards.vector import RewardVector

__all__ = ["ARGUMENTS", "Sample", "Scorer"]

logger = logging.getLogger("rvpo_verl.rewards")

# Enough for rewards that wait. More would not speed up rewards that compute: the interpreter runs one at a time.
THREADS = 32
LONGEST_CAUSE = 200


class Scorer:
    """The rewards of a configuration, found and checked at construction.

    Synchronous functions run in threads, asynchronous ones in the event loop, which they must not block. The
    clock of a timeout starts when the function does, not while it waits for a thread. A synchronous function
    that takes longer cannot be stopped, only left behind: another thread takes the place of its own.
    """

    def __init__(self, config: RewardsConfig, *, without: Collection[str] = ()):
        """
        Args:
            config: the rewards.
            without: names of `ARGUMENTS` that no sample will have.

        Raises:
            ConfigError: for each reward that cannot be found, or not be called.
        """
        offered = [argument for argument in ARGUMENTS if argument not in without]
        self._rewards: list[BoundReward] = []
        complaints: list[ConfigError] = []
        for name, spec in config.rewards.items():
            try:
                self._rewards.append(BoundReward(name, spec, offered))
            except ConfigError as complaint:
                complaints.append(complaint)
        if complaints:
            raise ConfigError("\n".join(map(str, complaints))) from complaints[0].__cause__
        self._weights = config.weights()
        self._threads = Threads(max(THREADS, 2 * len(self._rewards)))
        self.failed: Counter[tuple[str, str]] = Counter()
        """Calls that failed, by reward and type of the exception."""

    async def score(self, sample: Sample) -> RewardVector:
        """The scores of all rewards, None where one does not apply or failed.

        A reward that raises, takes too long or returns no finite number failed, and `failures` has the cause.
        Only what is not an `Exception` gets out of here: a cancellation, an interrupt.

        A dict from a reward without declared outputs gives the scores `NAME/key`, each with NAME's weight.
        """
        outcomes = await asyncio.gather(*(self._outcome(reward, sample) for reward in self._rewards))
        scores: Scores = {}
        weights: dict[str, float] = {}
        failures: dict[str, str] = {}
        for reward, (found, error) in zip(self._rewards, outcomes, strict=True):
            scores |= found
            weights |= {name: self._weights.get(name, reward.spec.weight) for name in found}
            if error is not None:
                failures[reward.name] = self._count(reward, error)
        return RewardVector(scores, weights, failures)

    async def _outcome(self, reward: BoundReward, sample: Sample) -> tuple[Scores, Exception | None]:
        if not reward.applies(sample):
            return reward.missing, None
        call, timeout = reward.call(sample), reward.spec.timeout
        try:
            value = call() if reward.is_async else await self._threads.run(call, timeout)
            if inspect.isawaitable(value):  # also an async function in a decorator that is not
                value = await _in_loop(value, timeout)
            return reward.read(value)
        except Exception as error:
            return reward.missing, error

    def _count(self, reward: BoundReward, error: Exception) -> str:
        kind = type(error).__name__
        cause = f"{kind}: {error}".split("\n", 1)[0][:LONGEST_CAUSE]
        self.failed[reward.name, kind] += 1
        if self.failed[reward.name, kind] == 1:
            logger.error(
                "reward %r (%s) failed, so that it is missing for this response: %s. More failures with "
                "%s are counted, not logged",
                reward.name,
                reward.origin,
                cause,
                kind,
                exc_info=error,
            )
        return cause


async def _in_loop(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    # `asyncio.wait_for` waits for ever for a coroutine that ignores its cancellation.
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((task,), timeout=timeout)
        if not task.done():
            raise TimeoutError(f"no answer within {timeout:g} s")
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
    if task.cancelled():  # from within: from without, the lines above raise
        raise RuntimeError("the reward was cancelled, and not by verl")
    return task.result()

"""Calling the rewards of a response: all at once, none able to stop the others or the training."""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rvpo_verl.config import RewardsConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.binding import BoundReward, Reading
from rvpo_verl.rewards.processes import Processes, RaisedInProcess
from rvpo_verl.rewards.protocol import Probes, RunContext, Validates
from rvpo_verl.rewards.sample import ARGUMENTS, Sample
from rvpo_verl.rewards.threads import Outcome, Threads, message_of
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
    that takes longer cannot be stopped: its thread is abandoned, and replaced by another.
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
        self.rewards: list[BoundReward] = []
        complaints: list[ConfigError] = []
        for name, spec in config.rewards.items():
            try:
                self.rewards.append(BoundReward(name, spec, offered))
            except ConfigError as complaint:
                complaints.append(complaint)
        if complaints:
            raise ConfigError("\n".join(map(str, complaints))) from complaints[0].__cause__
        in_process = any(reward.spec.executor == "process" for reward in self.rewards)
        self._processes = Processes() if in_process else None
        self._threads = Threads(max(THREADS, 2 * len(self.rewards)))
        self._conditions = {name for reward in self.rewards for name in reward.spec.only_if or ()}
        """The rewards that others depend on."""
        self.failed: Counter[tuple[str, str]] = Counter()
        """Calls that failed, by reward and type of the exception."""

    def validate(self, run: RunContext) -> None:
        """Lets each reward check its configuration, without opening a file or a connection.

        Raises:
            ConfigError: for each reward that could only fail.
        """
        for _ in self._asked(Validates, "validate", run):
            pass

    def probe(self, run: RunContext) -> list[str]:
        """Lets each reward ask the services that it depends on, once, before a training.

        Returns:
            Warnings.

        Raises:
            ConfigError: for each reward that could only fail.
        """
        return [
            f"reward {reward.name!r}: {warning}"
            for reward, warnings in self._asked(Probes, "probe", run)
            for warning in warnings
        ]

    def _asked(self, protocol: type, method: str, run: RunContext) -> list[tuple[BoundReward, Any]]:
        """What `method` returns, for the rewards that have it."""
        answers, complaints = [], []
        for reward in self.rewards:
            if isinstance(reward.function, protocol):
                context = replace(run, timeout=reward.spec.timeout)
                try:
                    answers.append((reward, getattr(reward.function, method)(reward.spec.kwargs, context)))
                except ConfigError as complaint:
                    complaints += [f"reward {reward.name!r}: {line}" for line in str(complaint).splitlines()]
        if complaints:
            raise ConfigError("\n".join(complaints))
        return answers

    def applicable(self, sample: Sample) -> set[str]:
        """Names under which the rewards that apply to a row are reported."""
        return {name for reward in self.rewards if reward.applies(sample) for name in reward.missing}

    async def score(self, sample: Sample) -> RewardVector:
        """The scores of all rewards, None where one does not apply or failed.

        A reward that raises, takes too long or returns no finite number failed, and `failures` has the cause. This
        includes everything that ends a program or a task when it is raised elsewhere, such as SystemExit. Only a
        cancellation of the caller and an interrupt of the process get out of here.

        A dict from a reward without declared outputs gives the scores `NAME/key`, each with NAME's weight, or
        that times its own. A score in it that failed by itself has its cause under its own name.
        """
        readings = await asyncio.gather(*(self._read(reward, sample) for reward in self.rewards))
        scores: dict[str, float | None] = {}
        weights: dict[str, float] = {}
        failures: dict[str, str] = {}
        disagreements: dict[str, float] = {}
        texts: dict[str, str] = {}
        figures: dict[str, dict[str, float | list[float]]] = {}
        for reward, reading in zip(self.rewards, readings, strict=True):
            for name, score in reading.scores.items():
                scores[name], weights[name] = score.value, score.weight
                if score.failure is not None:
                    failures[name] = self._count(reward, *_kind_and_cause(score.failure))
                if score.disagreement is not None:
                    disagreements[name] = score.disagreement
            texts |= reading.texts
            if reading.figures:
                figures[reward.name] = dict(reading.figures)
            if reading.error is not None:
                error = reading.error
                kind = error.kind if isinstance(error, RaisedInProcess) else type(error).__name__
                cause = f"{kind}: {message_of(error)}"
                if "signal only works in main thread" in cause:
                    cause += f"; set reward.rvpo.rewards.{reward.name}.executor=process"
                failures[reward.name] = self._count(reward, kind, cause, error)
        vector = RewardVector(scores, weights, failures, disagreements, texts, figures)
        self._apply_conditions(vector, readings)
        return vector

    def _apply_conditions(self, vector: RewardVector, readings: Sequence[Reading]) -> None:
        """Changes the scores of each reward with `only_if`, by what the other rewards returned."""
        if not self._conditions:
            return
        returned = {name: vector.value(name) for name in self._conditions}
        for reward, reading in zip(self.rewards, readings, strict=True):
            condition = [(returned[name], least) for name, least in (reward.spec.only_if or {}).items()]
            unknown = any(value is None for value, _ in condition)
            if any(value is None or value < least for value, least in condition):
                for name in reading.scores:
                    if vector.scores[name] is not None:
                        vector.scores[name] = None if unknown else reward.spec.otherwise

    async def _read(self, reward: BoundReward, sample: Sample) -> Reading:
        if not reward.applies(sample):
            return Reading(reward.missing)
        timeout = reward.spec.timeout
        if self._processes is not None and reward.spec.executor == "process":
            value, error = await self._processes.run(*reward.arguments(sample), timeout)
        elif reward.is_async:
            value, error = await _in_loop(reward.call(sample), timeout)
        else:
            value, error = await self._threads.run(reward.call(sample), timeout)
            if inspect.isawaitable(value):  # an async function in a decorator that is not
                value, error = await _in_loop(partial(_itself, value), timeout)
        if error is not None:
            return Reading(reward.missing, error)
        try:
            return reward.read(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of a user's objects
            return Reading(reward.missing, error)

    def _count(self, reward: BoundReward, kind: str, cause: str, error: BaseException | None = None) -> str:
        cause = cause.split("\n", 1)[0][:LONGEST_CAUSE]
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


def _kind_and_cause(failure: str) -> tuple[str, str]:
    return failure.partition(":")[0], failure


async def _in_loop(call: Callable[[], Awaitable[Any]], timeout: float | None) -> Outcome:
    """`await call()` in this event loop: its value, or what it raised."""
    # A task of its own: `asyncio.wait_for` never returns for a coroutine that ignores its cancellation.
    task = asyncio.ensure_future(_outcome(call))
    try:
        await asyncio.wait((task,), timeout=timeout)
        if not task.done():
            return None, TimeoutError(f"no answer within {timeout:g} s")
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
    if task.cancelled():  # from within: from without, the lines above raise
        return None, asyncio.CancelledError("the reward was cancelled, and not by verl")
    return task.result()


async def _outcome(call: Callable[[], Awaitable[Any]]) -> Outcome:
    # asyncio lets SystemExit out of a task and ends the loop with it.
    try:
        return await call(), None
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:
        return None, error


def _itself(awaitable: Awaitable[Any]) -> Awaitable[Any]:
    return awaitable

"""The processes in which rewards with `executor: process` run.

For rewards that compute, which would hold up all others in a thread, and for those that need the main thread of a
process, as `signal.alarm` does. A timeout ends the process, and with it the work.
"""

import asyncio
import multiprocessing
import os
import threading
from functools import cache
from typing import Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.registry import resolve
from rvpo_verl.rewards.threads import Outcome, message_of


class RaisedInProcess(Exception):
    """What a reward raised, which need not be possible to pickle."""

    def __init__(self, kind: str, message: str):
        super().__init__(kind, message)
        self.kind, self.message = kind, message

    def __str__(self) -> str:
        return self.message


PROCESSES = 2
"""Of each reward worker. verl has several reward workers on a node (`reward.num_workers`)."""


class Processes:
    def __init__(self) -> None:
        """
        Raises:
            ConfigError: pebble is not installed.
        """
        try:
            from pebble import ProcessPool
        except ModuleNotFoundError as error:
            raise ConfigError(
                f'executor: process needs {error.name}, which is not installed: pip install "rvpo-verl[process]"'
            ) from None
        # A fork would copy the locks of other threads; workers of Ray have many.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=PROCESSES, context=context, initializer=_end_with_parent)

    async def run(
        self, function: str, values: list[Any], keywords: dict[str, Any], timeout: float | None
    ) -> Outcome:
        """The reward function of that name, called in a process: its value, or what it raised.

        Args:
            timeout: seconds, not counting the wait for a process.
        """
        future = self._pool.schedule(_call, args=(function, values, keywords), timeout=timeout)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.TimeoutError:  # a class of its own before Python 3.11
            return None, TimeoutError(f"no answer within {timeout:g} s; its process was ended")
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:  # of the pool: a process that died, arguments that cannot be pickled
            return None, error


def _end_with_parent() -> None:
    """A reward that computes for ever would otherwise outlive a worker that is killed, and its timeout."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


_resolve = cache(resolve)


def _call(function: str, values: list[Any], keywords: dict[str, Any]) -> Outcome:
    try:
        value = _resolve(function).function(*values, **keywords)
        return asyncio.run(_awaited(value)) if asyncio.iscoroutine(value) else value, None
    except BaseException as error:
        return None, RaisedInProcess(type(error).__name__, message_of(error))


async def _awaited(value: Any) -> Any:
    return await value

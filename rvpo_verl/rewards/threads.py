"""The threads in which synchronous rewards run.

Not those of `concurrent.futures`: there a reward that hangs takes its thread from the pool, until nothing
runs any more, and keeps the interpreter from exiting.
"""

import _thread
import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Outcome = tuple[Any, BaseException | None]
"""(value, None) of a call, or (None, what it raised)."""


def message_of(error: BaseException) -> str:
    """`str(error)`, also of an exception that cannot say it."""
    try:
        return str(error)
    except BaseException as failure:
        return f"(its message cannot be shown: {type(failure).__name__})"


class Threads:
    """Threads that no exit waits for, started as they are needed; at most `limit`, without the abandoned ones."""

    def __init__(self, limit: int):
        self._limit = limit
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._alive = 0
        """Threads, without the abandoned ones."""
        self._queued = 0
        """Jobs that no thread has taken."""
        self._waiting = 0
        """Threads that will take one."""

    async def run(self, call: Callable[[], Any], timeout: float | None) -> Outcome:
        """`call()` in a thread.

        Returns:
            Its value, or what it raised: a TimeoutError if it took longer than `timeout` seconds, not counting the
            wait for a thread. Its thread is abandoned then, and replaced by another.
        """
        job = _Job(call, timeout)
        self._jobs.put(job)
        with self._lock:
            self._queued += 1
            self._grow()
        try:
            return await job.future
        finally:
            job.close()
            if not job.finished:
                self._abandon(job)

    def _abandon(self, job: "_Job") -> None:
        with self._lock:
            job.abandoned = True
            if job.started is not None and not job.finished:
                self._alive -= 1
                self._grow()

    def _grow(self) -> None:
        if self._queued > self._waiting and self._alive < self._limit:
            # `threading.Thread.start` blocks the event loop until the thread runs: 2 ms each on a busy machine.
            _thread.start_new_thread(self._work, ())
            self._alive += 1
            self._waiting += 1

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            with self._lock:
                self._queued -= 1
                if job.abandoned:
                    continue
                self._waiting -= 1
                job.started = time.monotonic()
            outcome = job.run()
            with self._lock:
                job.finished = True
                if job.abandoned:
                    return
                self._waiting += 1
            job.deliver(outcome)
            del job, outcome  # an idle thread keeps no response alive


class _Job:
    def __init__(self, call: Callable[[], Any], timeout: float | None):
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._timer = None if timeout is None else self._loop.call_later(timeout, self._expire, timeout)
        self.future: asyncio.Future[Outcome] = self._loop.create_future()
        self.started: float | None = None
        self.finished = False
        self.abandoned = False
        """Its result is no longer waited for."""

    def run(self) -> Outcome:
        try:
            return self._call(), None
        except BaseException as error:
            return None, error

    def deliver(self, outcome: Outcome) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._set, outcome)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)

    def _expire(self, timeout: float) -> None:
        left = timeout if self.started is None else self.started + timeout - time.monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._expire, timeout)
        else:
            self._set((None, TimeoutError(f"no answer within {timeout:g} s")))

"""A worker that borrows calls in flight."""

import asyncio
import time

from rvpo_verl.judge.lending import Borrower
from rvpo_verl.judge.limits import CallLimit
from rvpo_verl.judge.rates import PerMinute


class Worker:
    def __init__(self, endpoint, limit, workers):
        self._of_endpoint = endpoint, limit, workers
        self._calls = None

    async def most_in_flight(self, calls, seconds, until=float("inf")):
        """Keeps `calls` calls waiting or in flight for so long, or until `until` fly; how many flew at most."""
        if self._calls is None:
            self._calls = CallLimit(1)
            self._borrower = Borrower(self._calls, *self._of_endpoint, PerMinute())
        calls_in_flight, highest = self._calls, 0

        async def call():
            nonlocal highest
            while True:
                async with calls_in_flight.slot(0):
                    highest = max(highest, calls_in_flight.in_flight)
                    await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(call()) for _ in range(calls)]
        end = time.monotonic() + seconds
        while highest < until and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return highest

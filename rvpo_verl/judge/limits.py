"""How many calls are in flight at once, and which of the waiting calls is next."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class CallLimit:
    """A semaphore of one event loop that serves the lowest rank first, and equal ranks in order of arrival.

    The rank is the number of the response, so that a retried call does not wait behind all later responses.
    """

    def __init__(self, limit: int):
        self.start = asyncio.Semaphore(max(1, limit // 4))
        """Held by a response that waits for its first slot. Each response brings several calls, so a few are enough."""
        self.probe = asyncio.Lock()
        """Held while an endpoint is asked in which form it gives verdicts."""
        self._free = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def slot(self, rank: int) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._wait(rank)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, rank: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the slot was assigned before the cancellation arrived
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

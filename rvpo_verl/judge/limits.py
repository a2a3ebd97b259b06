"""How many calls to one endpoint are in flight at once, when, and which of the waiting calls is next."""

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from rvpo_verl.judge.pace import Pace

FIRST_PAUSE_SECONDS, PAUSE_GROWTH, LONGEST_PAUSE_SECONDS = 0.1, 1.6, 5.0
"""Of a server that says not how long to wait; each failed probe makes the next pause longer."""
STALLED_SECONDS = 10.0
"""After which a server that does not recover keeps no response from starting, so that its deadline runs."""
JITTER = 0.2
"""Of a pause, by which processes that paused together resume at different times."""


class CallLimit:
    """The calls of one event loop to one endpoint. The lowest rank comes next, and equal ranks in order of arrival.

    The rank is the number of the response, so that a retried call does not wait behind all later responses.

    A reply that the server is overloaded pauses all calls, then lets a single one probe. It halves the calls in flight,
    which grow with each reply after that, as TCP does with packets, and sets the rate to the one that was measured.
    """

    def __init__(self, granted: int):
        """
        Args:
            granted: calls in flight that this process may have; may change.
        """
        self.granted = granted
        self.on_demand: Callable[[], None] = lambda: None
        """Called whenever a call or a response has to wait."""
        self._window = self._threshold = float("inf")
        self._in_flight = self._pending = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._starting: deque[asyncio.Future[None]] = deque()
        self._arrivals = count()
        self._paused_until = self._pause = self._reduced_at = 0.0
        self._probing = False
        self._beginning = 0
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._last_success = time.monotonic()

    @property
    def last_success(self) -> float:
        """Time of the last answer to a call; of the beginning before the first."""
        return self._last_success

    @property
    def paused(self) -> bool:
        """Whether calls wait for a server that was overloaded or did not answer."""
        return self._probing

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def demand(self) -> int:
        """Calls in flight and waiting; a response that waits for its start counts as one."""
        return self._pending + self._beginning + len(self._starting)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """Entered by a response before its calls are built, when there is room for another call."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._starting.append(turn)
        await self._served(turn, self._begun)
        try:
            yield
        finally:
            self._begun(-1)

    @asynccontextmanager
    async def slot(self, rank: int) -> AsyncIterator[float]:
        """Entered by a call while it is in flight; gives the time at which it started."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), turn))
        self._pending += 1
        try:
            await self._served(turn, self._flown)
            try:
                yield time.monotonic()
            finally:
                self._flown(-1)
        finally:
            self._pending -= 1
            self._serve()

    def grant(self, calls: int) -> None:
        self.granted = calls
        self._serve()

    def succeeded(self) -> None:
        """The server answered a call."""
        now = time.monotonic()
        self._window += 1 if self._window < self._threshold else 1 / self._window
        self._probing, self._pause, self._last_success = False, 0.0, now
        self._pace.answered(now)

    def limited(self, started: float, retry_after: float = 0.0) -> None:
        """The server refused a call because there were too many.

        Args:
            started: time at which the call started; calls that were on their way at the last refusal count as it.
        """
        now = time.monotonic()
        if started >= self._reduced_at and self._pace.refused(now, reduce=retry_after > 0):
            self._reduce(self._in_flight)
            self._pause_for(retry_after or self._longer_pause())
        elif retry_after:
            self._pause_for(retry_after)

    def unreachable(self, started: float) -> None:
        """The server gave no answer, or an error of its own, several times in a row."""
        if started >= self._reduced_at:
            self._reduce(2)
            self._pause_for(self._longer_pause())

    def _reduce(self, calls: int) -> None:
        self._reduced_at = time.monotonic()
        self._window = self._threshold = max(1.0, min(self._window, calls) / 2)

    def _longer_pause(self) -> float:
        self._pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, PAUSE_GROWTH * self._pause))
        return self._pause

    def _pause_for(self, seconds: float) -> None:
        seconds *= 1 + random.uniform(0, JITTER)
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._probing = True
        self._serve()

    def _may_fly(self) -> bool:
        """Whether another call may be sent."""
        most = min(self.granted, 1 if self._probing else self._window + 1e-6)
        return self._in_flight + 1 <= most and not self._seconds_to_wait() > 0

    def _seconds_to_wait(self) -> float:
        return max(self._paused_until, self._pace.next_call) - time.monotonic()

    def _serve_later(self) -> None:
        """Serves again when the pause is over."""
        seconds = self._seconds_to_wait()
        if seconds > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()

    def _may_begin(self) -> bool:
        """Whether another response may start."""
        stalled = self._probing and time.monotonic() - self._last_success > STALLED_SECONDS
        # The calls of a response that begins are not pending yet.
        return stalled or (self._pending < self.granted and not self._beginning)

    def _flown(self, calls: int) -> None:
        self._in_flight += calls

    def _begun(self, responses: int) -> None:
        self._beginning += responses
        if responses < 0:
            self._serve()

    async def _served(self, turn: "asyncio.Future[None]", count: Callable[[int], None]) -> None:
        """Returns when it is the turn of what waits; `count` was given 1 then."""
        self._serve()
        if not turn.done():
            self.on_demand()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come before the cancellation arrived
                count(-1)
            raise

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0][-1].done() or self._may_fly()):
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._flown(1)
                self._pace.sent(time.monotonic())
                turn.set_result(None)
        while self._starting and (self._starting[0].done() or self._may_begin()):
            turn = self._starting.popleft()
            if not turn.done():
                self._begun(1)
                turn.set_result(None)
        if self._waiting or self._starting:
            self._serve_later()

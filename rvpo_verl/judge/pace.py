"""The rate of calls that a server seems to allow, learned from its refusals.

Halving the calls in flight is not enough: a server that answers fast and allows 50 calls a second refuses most of what
two calls in flight send. As in TCP's CUBIC, the rate approaches that of the last refusal slowly, and then grows fast.
"""

TOLERATED_SHARE = 0.2
"""Of refusals. One replica of several that is overloaded is no reason to slow down."""
SAFETY, CAREFUL_SAFETY = 0.97, 0.93
"""Of the rate that was measured at a refusal; the second where a refusal costs a pause of all calls."""
LARGEST_STEP = 0.8
SLOW_GROWTH, CAREFUL_GROWTH, FAST_GROWTH = 1.02, 1.005, 1.25
"""Of the rate in a second without refusal."""
SLOW_SECONDS = 10.0
LOWEST_RATE = 0.2
CATCH_UP_SECONDS = 0.05
"""Of calls that could have been sent and were not, because this process had no processor."""
SHORTEST_MEASUREMENT_SECONDS, LONGEST_MEASUREMENT_SECONDS = 1.0, 3.0


class Pace:
    def __init__(self) -> None:
        self._base: float | None = None
        """Calls per second at the last reduction; None before the first."""
        self._reduced_at, self._careful = 0.0, False
        self._answers, self._refusals, self._since = 0, 0, float("inf")
        """Of a measurement, and the time of its first answer."""
        self.next_call = 0.0
        """Time from which another call may be sent."""

    def rate(self, now: float) -> float:
        if self._base is None:
            return float("inf")
        slow = min(now - self._reduced_at, SLOW_SECONDS)
        fast = min(now - self._reduced_at - slow, 60.0)
        growth = CAREFUL_GROWTH if self._careful else SLOW_GROWTH
        return float(self._base * growth**slow * FAST_GROWTH**fast)

    def sent(self, now: float) -> None:
        self.next_call = max(now - CATCH_UP_SECONDS, self.next_call) + 1 / self.rate(now)

    def answered(self, now: float) -> None:
        if now - self._since > LONGEST_MEASUREMENT_SECONDS:
            self._measure_again()
        self._since = min(self._since, now)
        self._answers += 1

    def refused(self, now: float, *, reduce: bool) -> bool:
        """Counts a refusal, not of calls that were on their way at the last reduction.

        Args:
            reduce: whether a single refusal reduces the rate, because it costs a pause.

        Returns:
            Whether the rate was reduced.
        """
        self._refusals += 1
        if not reduce and self._refusals < TOLERATED_SHARE * (self._refusals + self._answers):
            return False
        if self._answers:
            measured = self._answers / max(SHORTEST_MEASUREMENT_SECONDS, now - self._since)
            if self._base is not None:
                # A measurement over a short time may be far too low.
                measured = min(self.rate(now), max(measured, LARGEST_STEP * self.rate(now)))
            self._base = max(LOWEST_RATE, (CAREFUL_SAFETY if reduce else SAFETY) * measured)
        self._reduced_at, self._careful = now, reduce
        self._measure_again()
        return True

    def _measure_again(self) -> None:
        self._answers, self._refusals, self._since = 0, 0, float("inf")

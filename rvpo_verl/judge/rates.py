"""Requests and tokens per minute, where a provider limits them and says so."""

from dataclasses import dataclass

from aiolimiter import AsyncLimiter


@dataclass(frozen=True)
class PerMinute:
    """None where nothing limits it."""

    requests: float | None = None
    tokens: float | None = None

    def of_one(self, workers: int) -> "PerMinute":
        """What one of several workers may use."""
        return PerMinute(self.requests and self.requests / workers, self.tokens and self.tokens / workers)

    def __bool__(self) -> bool:
        return self.requests is not None or self.tokens is not None


class Rates:
    """Waits until another call may be sent. Belongs to one event loop."""

    def __init__(self, per_minute: PerMinute):
        self._requests = self._tokens = None
        if per_minute.requests is not None:
            # Evenly, not a minute's requests at once: providers enforce parts of a minute.
            burst = max(1.0, per_minute.requests / 60)
            self._requests = AsyncLimiter(burst, 60 * burst / per_minute.requests)
        if per_minute.tokens is not None:
            self._tokens = AsyncLimiter(per_minute.tokens, 60)

    async def wait(self, tokens: float) -> None:
        """
        Args:
            tokens: that the call is going to take.
        """
        if self._tokens is not None:
            await self._tokens.acquire(min(tokens, self._tokens.max_rate))
        if self._requests is not None:
            await self._requests.acquire()

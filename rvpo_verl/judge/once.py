"""What many calls need at the same time is done once, and its outcome is theirs, be it an error."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """Belongs to one event loop. Whoever comes after an attempt has ended begins another."""

    def __init__(self) -> None:
        self._attempt: asyncio.Future[Value] | None = None

    async def __call__(self, make: Callable[[], Awaitable[Value]]) -> Value:
        if self._attempt is None:
            self._attempt = asyncio.ensure_future(make())
            self._attempt.add_done_callback(self._ended)
        return await asyncio.shield(self._attempt)

    def _ended(self, attempt: "asyncio.Future[Value]") -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # seen, also if nobody waits for it any more

"""One limit for all reward workers of a run: a Ray actor lends them calls in flight.

verl chooses a reward worker at random for each response, so that fixed shares of a limit leave calls unused while
responses wait elsewhere. A worker reports its demand some times a second and receives what is fair of the limit.

What a worker holds, it returns when its demand falls. A worker that dies is not heard of for `EXPIRY_SECONDS`, and
what it held is lent to others. The actor dies with the worker that created it: the next report creates another, which
learns from the reports what is held. Without Ray, or while there is no actor, each worker has a fixed share.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rvpo_verl.judge.limits import CallLimit
from rvpo_verl.judge.rates import PerMinute, Rates

logger = logging.getLogger("rvpo_verl.judge")

ACTOR = "rvpo_judge_limits"
EXPIRY_SECONDS = 30.0
LEARNING_SECONDS = 1.0
"""After its start, in which a lender may not know yet what workers hold, and lends no more than fixed shares."""
SHORT_SECONDS, LONG_SECONDS = 0.05, 0.25
"""Between the reports of a worker that waits for more, and of one that has enough."""
RETRY_SECONDS = 5.0


def fair_shares(demands: Sequence[int], limit: int) -> list[int]:
    """Shares of `limit`: what each demands, if that is not more than its part of what the others leave."""
    shares = [0] * len(demands)
    for done, index in enumerate(sorted(range(len(demands)), key=lambda index: demands[index])):
        shares[index] = min(demands[index], -(-limit // (len(demands) - done)))
        limit -= shares[index]
    return shares


@dataclass
class _Worker:
    held: int
    demand: int
    seen: float


class Loans:
    """What is lent of one endpoint's limit."""

    def __init__(self, limit: int, share: int):
        self.limit, self._share = limit, share
        self._workers: dict[str, _Worker] = {}
        self._started = time.monotonic()

    def report(self, worker: str, held: int, demand: int) -> int:
        """What the worker may have in flight from now on.

        Args:
            held: the most that it has or may have in flight until it receives the result.
            demand: what it could use.
        """
        now = time.monotonic()
        self._workers[worker] = _Worker(held, demand, now)
        self._workers = {name: one for name, one in self._workers.items() if now - one.seen < EXPIRY_SECONDS}
        names = list(self._workers)
        shares = fair_shares([self._workers[name].demand for name in names], self.limit)
        share = shares[names.index(worker)]
        if share > held:
            if now - self._started < LEARNING_SECONDS:
                share = max(held, min(share, self._share))
            free = self.limit - sum(one.held for one in self._workers.values())
            share = self._workers[worker].held = held + max(0, min(share - held, free))
        return share


class Lender:
    """The Ray actor: `Loans` and `Rates` by endpoint."""

    def __init__(self) -> None:
        self._loans: dict[str, Loans] = {}
        self._rates: dict[str, Rates] = {}

    async def report(self, endpoint: str, limit: int, share: int, worker: str, held: int, demand: int) -> int:
        loans = self._loans.setdefault(endpoint, Loans(limit, share))
        loans.limit = min(loans.limit, limit)
        return loans.report(worker, held, demand)

    async def wait(self, endpoint: str, per_minute: PerMinute, tokens: float) -> None:
        if endpoint not in self._rates:
            self._rates[endpoint] = Rates(per_minute)
        await self._rates[endpoint].wait(tokens)


class Borrower:
    """Keeps a `CallLimit` at what the lender grants, while there are calls. Belongs to one event loop."""

    def __init__(self, calls: CallLimit, endpoint: str, limit: int, workers: int, per_minute: PerMinute):
        """
        Args:
            endpoint: what lends; endpoints of the same name share a limit.
            limit: calls in flight of the run.
            workers: that share it.
            per_minute: of the run.
        """
        self._calls, self._endpoint, self._limit = calls, endpoint, limit
        self._share = max(1, limit // workers)
        self._per_minute, self._rates = per_minute, Rates(per_minute.of_one(workers))
        self._worker = uuid.uuid4().hex
        self._actor: Any = None
        self._task: asyncio.Task[None] | None = None
        calls.on_demand = self._wake
        calls.grant(0 if _ray() else self._share)

    async def wait(self, tokens: float) -> None:
        """Until the rate of the run allows another call of so many tokens."""
        if self._per_minute and self._actor is not None:
            try:
                await self._actor.wait.remote(self._endpoint, self._per_minute, tokens)
                return
            except Exception as error:  # of Ray, see below
                logger.debug("no lender: %s", error)
        await self._rates.wait(tokens)

    def _wake(self) -> None:
        if self._task is None and _ray():
            self._task = asyncio.create_task(self._keep_up())

    async def _keep_up(self) -> None:
        try:
            while self._calls.demand or self._calls.granted:
                await self._report()
                unmet = self._calls.demand > self._calls.granted
                await asyncio.sleep(SHORT_SECONDS if unmet else LONG_SECONDS)
        finally:
            self._task = None

    async def _report(self) -> None:
        calls = self._calls
        held = max(calls.in_flight, calls.granted)
        try:
            if self._actor is None:
                self._actor = await asyncio.to_thread(_lender)
            granted = await self._actor.report.remote(
                self._endpoint, self._limit, self._share, self._worker, held, calls.demand
            )
        except Exception as error:  # of Ray, whose errors have no common class
            if self._actor is not None or calls.granted != self._share:
                logger.warning(
                    "no lender of the judge's limit (%s): this worker has its share of %d calls until there is one",
                    type(error).__name__,
                    self._share,
                )
            self._actor = None
            calls.grant(self._share)
            await asyncio.sleep(RETRY_SECONDS if calls.demand else 0)
            if not calls.demand:
                calls.grant(0)
            return
        calls.grant(granted)


def _ray() -> Any:
    """Ray, where this process belongs to a running cluster."""
    import sys

    ray = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None


def _lender() -> Any:
    ray = _ray()
    return ray.remote(Lender).options(name=ACTOR, get_if_exists=True, num_cpus=0).remote()

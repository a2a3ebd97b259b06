import asyncio
import multiprocessing
import time

import pytest

from rvpo_verl.judge import limits
from rvpo_verl.judge.limits import CallLimit
from rvpo_verl.judge.pace import Pace
from tests.support.judging import score_as_a_worker
from tests.support.scripted_judge import scripted_judge


def test_the_lowest_rank_comes_next_and_equal_ranks_in_order():
    served = []

    async def call(limit, rank, name):
        async with limit.slot(rank):
            served.append(name)
            await asyncio.sleep(0)

    async def all_of_them():
        limit = CallLimit(1)
        await asyncio.gather(
            *(call(limit, rank, name) for rank, name in [(5, "a"), (9, "d"), (2, "b"), (2, "c")])
        )

    asyncio.run(all_of_them())
    assert served == ["a", "b", "c", "d"]


async def hold(limit, seconds=0.0, rank=0):
    async with limit.slot(rank):
        await asyncio.sleep(seconds)


def test_cancelled_waiters_cost_no_slot():
    async def run():
        limit = CallLimit(1)
        async with limit.slot(0):
            waiters = [asyncio.create_task(hold(limit)) for _ in range(3)]
            await asyncio.sleep(0)
            waiters[0].cancel()
        # The slot went to the second one, which is cancelled before it can take it.
        waiters[1].cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        await asyncio.wait_for(hold(limit), 1)
        return limit.in_flight, limit.demand

    assert asyncio.run(run()) == (0, 0)


def test_a_response_starts_when_there_is_room_for_a_call():
    async def run():
        limit, started = CallLimit(2), []

        async def response(number):
            async with limit.start():
                started.append(number)
                calls = [asyncio.create_task(hold(limit, 0.05)) for _ in range(3)]
                await asyncio.sleep(0)
            await asyncio.gather(*calls)

        tasks = [asyncio.create_task(response(number)) for number in range(3)]
        await asyncio.sleep(0.02)
        first = list(started)
        await asyncio.gather(*tasks)
        return first, started

    assert asyncio.run(run()) == ([0], [0, 1, 2])


def test_after_a_pause_one_call_probes_and_the_others_follow_its_success():
    async def run():
        limit, sent = CallLimit(10), []

        async def call():
            async with limit.slot(0):
                sent.append(time.monotonic())
                await asyncio.sleep(0.05)
                limit.succeeded()

        began = time.monotonic()
        limit.limited(began, retry_after=0.2)
        await asyncio.gather(*(call() for _ in range(5)))
        return [at - began for at in sent]

    first, second, *_ = asyncio.run(run())
    assert first >= 0.2
    assert second >= first + 0.05


def test_responses_start_although_the_server_does_not_come_back(monkeypatch):
    """Otherwise the deadlines of the responses would run one after the other."""
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.1)

    async def run():
        limit = CallLimit(1)
        limit.unreachable(time.monotonic())
        waiting = asyncio.create_task(hold(limit, rank=9))
        await asyncio.sleep(0)
        limit._pause_for(0.3)

        async def response():
            async with limit.start():
                pass

        await asyncio.wait_for(asyncio.gather(*(response() for _ in range(20))), 5)
        waiting.cancel()

    asyncio.run(run())


def test_the_rate_after_a_refusal_is_the_one_that_was_measured_and_grows_slowly_at_first():
    pace = Pace()
    assert pace.rate(0) == float("inf")
    for number in range(100):
        pace.answered(number / 50)
    assert not pace.refused(2.0, reduce=False), "one refusal of a hundred"
    assert pace.refused(2.0, reduce=True)
    assert pace.rate(2.0) == pytest.approx(0.93 * 100 / 2)
    assert pace.rate(7.0) < 1.03 * pace.rate(2.0), "a refusal costs a pause"
    assert pace.rate(22.0) > 5 * pace.rate(2.0)


def test_a_short_measurement_lowers_the_rate_by_a_step_only():
    pace = Pace()
    for number in range(100):
        pace.answered(number / 50)
    pace.refused(2.0, reduce=True)
    before = pace.rate(3.0)
    pace.answered(3.0)
    pace.refused(3.0, reduce=True)
    assert pace.rate(3.0) == pytest.approx(0.93 * 0.8 * before)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_limit_holds_over_all_processes_that_score(workers):
    spawn = multiprocessing.get_context("spawn")
    with scripted_judge(latency=0.05) as server:
        barrier = spawn.Barrier(workers)
        processes = [
            spawn.Process(target=score_as_a_worker, args=(server.base_url, workers, first, barrier))
            for first in range(workers)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * workers
        counts = server.counts()
    assert counts["answered"] == workers * 20 * 5
    assert counts["highest"] <= 10
    assert counts["highest"] == workers * (10 // workers), "and every process uses its share"

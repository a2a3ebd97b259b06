import asyncio
import multiprocessing

import pytest

from rvpo_verl.judge.limits import CallLimit
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


def test_cancelled_waiters_cost_no_slot():
    async def run():
        limit = CallLimit(1)
        async with limit.slot(0):
            waiters = [asyncio.create_task(limit._wait(rank)) for rank in range(3)]
            await asyncio.sleep(0)
            waiters[0].cancel()
        # The slot went to the second one, which is cancelled before it can take it.
        waiters[1].cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        limit._release()
        async with asyncio.timeout(1) if hasattr(asyncio, "timeout") else limit.slot(0):
            pass
        return limit._free

    assert asyncio.run(run()) == 1


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

"""One limit for all reward workers: what is lent never exceeds it, and is where it is needed."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rvpo_verl.judge import lending
from rvpo_verl.judge.lending import Loans, fair_shares


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(1, 300))
def test_fair_shares_use_the_whole_limit_and_no_more(demands, limit):
    shares = fair_shares(demands, limit)
    assert sum(shares) == min(limit, sum(demands))
    assert all(share <= demand for share, demand in zip(shares, demands, strict=True))
    satisfied = [share for share, demand in zip(shares, demands, strict=True) if share == demand]
    others = [share for share, demand in zip(shares, demands, strict=True) if share < demand]
    assert not others or max(others) - min(others) <= 1
    assert not others or not satisfied or max(satisfied) <= max(others) + 1


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(lending.time, "monotonic", lambda: now[0])
    return now


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=60))
def test_what_workers_hold_never_exceeds_the_limit(reports):
    loans, held = Loans(10, 2), [0, 0, 0, 0]
    for worker, demand in reports:
        held[worker] = loans.report(str(worker), held[worker], demand)
        assert sum(held) <= 10


def test_what_one_worker_does_not_need_another_has(clock):
    loans = Loans(100, 50)
    clock[0] += 2
    assert loans.report("a", 0, 1000) == 100
    assert loans.report("b", 0, 1000) == 0, "all is lent"
    assert loans.report("a", 100, 1000) == 50, "now that b asks, a returns half as its calls end"
    assert loans.report("b", 0, 1000) == 0
    assert loans.report("a", 50, 1000) == 50
    assert loans.report("b", 0, 1000) == 50
    assert loans.report("b", 50, 0) == 0
    loans.report("b", 0, 0)
    assert loans.report("a", 50, 1000) == 100


def test_what_a_dead_worker_held_is_lent_to_others_after_a_while(clock):
    loans = Loans(100, 50)
    clock[0] += 2
    assert loans.report("dead", 0, 1000) == 100
    assert loans.report("a", 0, 1000) == 0
    clock[0] += lending.EXPIRY_SECONDS
    assert loans.report("a", 0, 1000) == 100


def test_a_new_lender_lends_no_more_than_fixed_shares_until_all_workers_may_have_reported(clock):
    loans = Loans(100, 25)
    assert loans.report("a", 0, 1000) == 25
    assert loans.report("b", 40, 1000) == 40, "lent by the lender before"
    clock[0] += 2
    assert loans.report("a", 25, 1000) > 25


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80_000_000,
    )
    yield ray
    ray.shutdown()


def test_workers_of_ray_share_the_limit_by_their_demand(ray):
    from tests.support.lending_worker import Worker

    worker = ray.remote(Worker).options(num_cpus=0)
    busy, idle = worker.remote("there", 40, 2), worker.remote("there", 40, 2)
    assert ray.get(busy.most_in_flight.remote(100, 60, until=40), timeout=120) == 40, "the other has no calls"
    working = busy.most_in_flight.remote(100, 20)
    assert ray.get(idle.most_in_flight.remote(100, 20, until=15), timeout=60) >= 15, (
        "half when both have calls"
    )
    assert ray.get(working, timeout=60) <= 40


def test_the_death_of_the_worker_that_created_the_lender_ends_no_other(ray):
    from tests.support.lending_worker import Worker

    worker = ray.remote(Worker).options(num_cpus=0)
    first, second = worker.remote("elsewhere", 40, 2), worker.remote("elsewhere", 40, 2)
    ray.get(first.most_in_flight.remote(10, 60, until=10), timeout=120)
    lender = ray.get_actor(lending.ACTOR)
    task = second.most_in_flight.remote(1000, 12)
    time.sleep(1)
    ray.kill(first)
    ray.kill(lender)
    assert ray.get(task, timeout=60) >= 20
    assert ray.get(second.most_in_flight.remote(1000, 60, until=40), timeout=120) == 40


def test_without_ray_a_worker_has_its_share():
    from tests.support.lending_worker import Worker

    if lending._ray():
        pytest.skip("Ray runs in this process")
    assert asyncio.run(Worker("nowhere", 40, 4).most_in_flight(100, 0.2)) == 10

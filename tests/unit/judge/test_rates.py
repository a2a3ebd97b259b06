"""What a provider allows in a minute is not exceeded, and sent evenly."""

import asyncio
import time

from rvpo_verl.judge.rates import PerMinute, Rates
from tests.support.judging import judge_all
from tests.support.scripted_judge import scripted_judge


def seconds_of(per_minute, *tokens):
    async def all_calls():
        rates = Rates(per_minute)
        started = time.monotonic()
        await asyncio.gather(*(rates.wait(number) for number in tokens))
        return time.monotonic() - started

    return asyncio.run(all_calls())


def test_requests_of_a_minute_are_sent_evenly():
    """600 a minute: 10 at once, then one each 0.1 s."""
    assert seconds_of(PerMinute(requests=600), *[1] * 15) >= 0.45


def test_tokens_of_a_minute_are_not_exceeded():
    """6,000 a minute: what is above waits for 0.01 s a token."""
    assert seconds_of(PerMinute(tokens=6000), 5000, 1000, 50) >= 0.45


def test_a_call_of_more_tokens_than_a_minute_has_does_not_wait_for_ever():
    assert seconds_of(PerMinute(tokens=10), 1000) < 60


def test_workers_share_what_is_allowed():
    assert PerMinute(600, None).of_one(4) == PerMinute(150, None)
    assert not PerMinute().of_one(4)


def test_an_endpoint_keeps_to_its_rate_so_that_the_server_refuses_nothing():
    from rvpo_verl.judge.judge import Judge
    from tests.support.judging import judge_of

    with scripted_judge(per_second=25) as server:
        given = judge_of(server).config.model_dump(exclude_unset=True)
        given["endpoints"] = [{"base_url": server.base_url, "model": "judge", "requests_per_minute": 600}]
        judge = Judge(type(judge_of(server).config).model_validate(given))
        batch = judge_all(judge, [f"answer {n}" for n in range(6)])
        counts = server.counts()
    assert all(one.truth is not None for judgements in batch for one in judgements)
    assert counts["limited"] == 0
    assert counts["received"] == 30

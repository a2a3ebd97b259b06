"""Judges, and judgements, for tests."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.judge import Judge
from rvpo_verl.rewards.rubric import rubric
from rvpo_verl.rubric import Criterion
from rvpo_verl.schema import parse

CRITERIA = [Criterion(criterion=f"Mentions {word}") for word in ("ice", "tea", "rum", "gin", "ale")]


def judge_of(*endpoints, reward_workers=1, patient=True, **settings):
    """A judge that asks the servers (or base URLs) in order, and does not ask them first in which form."""
    configs = [{"base_url": getattr(one, "base_url", one), "model": "judge"} for one in endpoints]
    values = {"endpoints": configs, "backoff": 0.01, "timeout": 5, "output": "schema", **settings}
    return Judge(parse(JudgeConfig, values, "judge"), reward_workers=reward_workers, patient=patient)


def judge_all(judge, answers, criteria=CRITERIA):
    """Judgements of each answer, all at once."""
    messages = [{"role": "user", "content": "What do you drink?"}]

    async def all_answers():
        return await asyncio.gather(*(judge.judge(messages, answer, criteria) for answer in answers))

    return asyncio.run(all_answers())


def judge_one(judge, answer="an answer", criteria=CRITERIA):
    return judge_all(judge, [answer], criteria)[0]


def score_as_a_worker(base_url, workers, first, barrier):
    """A reward worker of verl: a process that receives many responses at once."""
    judge = {"endpoints": [{"base_url": base_url, "model": "judge"}], "limit": 10, "output": "schema"}
    extra_info = {"rubric": [{"criterion": f"Mentions {number}"} for number in range(5)]}

    async def batch():
        barrier.wait()
        answers = [f"answer {first} {number}" for number in range(20)]
        await asyncio.gather(*(rubric(one, [], extra_info, None, workers, judge=judge) for one in answers))

    asyncio.run(batch())


def completion(content, finish_reason="stop", **message):
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": finish_reason}]}


def ask(*replies, answers=("an answer",), criteria=CRITERIA[:1], **settings):
    """Judgements by servers, each a function of the request's body that gives (status, JSON), and their requests."""
    seen: list[list[Any]] = [[] for _ in replies]

    def server(number):
        async def respond(request):
            body = await request.json()
            seen[number].append(body)
            status, content = replies[number](body)
            return web.json_response(content, status=status)

        app = web.Application()
        app.router.add_post("/v1/chat/completions", respond)
        return TestServer(app)

    async def judged():
        servers = [server(number) for number in range(len(replies))]
        for one in servers:
            await one.start_server()
        try:
            endpoints = [{"base_url": str(one.make_url("/v1")), "model": "judge"} for one in servers]
            values = {
                "endpoints": endpoints,
                "backoff": 0.01,
                "timeout": 2,
                "deadline": 3,
                "output": "schema",
            }
            values |= settings
            judge = Judge(parse(JudgeConfig, values, "judge"))
            batch = await asyncio.gather(*(judge.judge([], answer, criteria) for answer in answers))
            return batch, judge
        finally:
            for one in servers:
                await one.close()

    batch, judge = asyncio.run(judged())
    return [judgement for judgements in batch for judgement in judgements], seen, judge


def true(body):
    return 200, completion('{"1": true}')

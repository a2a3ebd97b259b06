"""Judges, and judgements, for tests."""

import asyncio

from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.judge import Judge
from rvpo_verl.rewards.rubric import rubric
from rvpo_verl.rubric import Criterion
from rvpo_verl.schema import parse

CRITERIA = [Criterion(criterion=f"Mentions {word}") for word in ("ice", "tea", "rum", "gin", "ale")]


def judge_of(*endpoints, reward_workers=1, patient=True, **settings):
    """A judge that asks the servers (or base URLs) in order."""
    endpoints = [{"base_url": getattr(one, "base_url", one), "model": "judge"} for one in endpoints]
    values = {"endpoints": endpoints, "backoff": 0.01, "timeout": 5, **settings}
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
    judge = {"endpoints": [{"base_url": base_url, "model": "judge"}], "limit": 10}
    extra_info = {"rubric": [{"criterion": f"Mentions {number}"} for number in range(5)]}

    async def batch():
        barrier.wait()
        answers = [f"answer {first} {number}" for number in range(20)]
        await asyncio.gather(*(rubric(one, [], extra_info, None, workers, judge=judge) for one in answers))

    asyncio.run(batch())

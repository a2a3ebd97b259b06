"""Does the judge answer, in the right form, and how fast?"""

import asyncio

from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.criteria import Criterion
from rvpo_verl.judge.judge import Judge

MESSAGES = [{"role": "user", "content": "Name the capital of France and a river there."}]
ANSWER = "The capital of France is Paris, and the Seine flows through it."
CRITERIA = (
    Criterion(criterion="Names Paris as the capital of France."),
    Criterion(criterion="Mentions the Rhine."),
)
EXPECTED = (1.0, 0.0)


async def first_verdicts(config: JudgeConfig) -> list[tuple[str, str | None]]:
    """Each endpoint of the configuration asked by itself: its URL, and why it gave no verdict, or None."""
    judges = [
        Judge(config.model_copy(update={"endpoints": [endpoint], "cache": None, "votes": 1}))
        for endpoint in config.endpoints or ()
    ]
    outcomes = await asyncio.gather(*(judge.judge(MESSAGES, ANSWER, CRITERIA[:1]) for judge in judges))
    return [
        (str(judge.endpoints[0]), outcome[0].failure) for judge, outcome in zip(judges, outcomes, strict=True)
    ]

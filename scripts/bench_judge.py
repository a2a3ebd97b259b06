"""Measures the overhead of judging: the ratio of the time to `calls x latency / limit`, and processor time per call.

    python scripts/bench_judge.py --latency 0.8    # 1,536 responses x 10 criteria, 256 in flight
    python scripts/bench_judge.py --peer           # and the same calls through the openai client, if installed

A scripted server answers after a fixed time. As in verl, the workers are Ray actors, each response goes to one of them
at random, and all arrive at once, as at the end of a rollout.
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import ray
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from rvpo_verl.judge import prompt
from rvpo_verl.judge.verdict import read_verdicts, response_format
from rvpo_verl.rewards.rubric import rubric
from rvpo_verl.rewards.score import Score
from rvpo_verl.rubric import Criterion, read_rubric
from tests.support.scripted_judge import scripted_judge

Scorer = Callable[..., Awaitable[Mapping[Any, Any]]]
"""Called as the reward `rubric` is."""


class Worker:
    """A reward worker of verl: Ray actor, in whose event loop responses are scored."""

    def __init__(self, judge: dict[str, Any], peer: bool, workers: int, criteria: int):
        self.rows = [{"criterion": f"Mentions finding number {number}."} for number in range(criteria)]
        self.judge, self.workers = judge, workers
        self.score: Scorer = _peer(judge, workers) if peer else rubric

    async def one(self, answer: str) -> Mapping[Any, Any]:
        messages = [{"role": "user", "content": "A patient presents with a cough. " * 10}]
        return await self.score(
            answer, messages, {"rubric": self.rows}, reward_workers=self.workers, judge=self.judge
        )

    async def all(self, answers: Sequence[str]) -> tuple[int, int, int, float]:
        """Failed verdicts, growth of the memory, its peak, seconds of the processor."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu = time.process_time()
        batch = await asyncio.gather(*map(self.one, answers))
        scores = (each for one in batch for each in one.values())
        failed = sum(isinstance(each, Score) and each.value is None for each in scores)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return failed, peak - before, peak, time.process_time() - cpu


def _peer(judge: dict[str, Any], workers: int) -> Scorer:
    """The same calls through the openai client, under a semaphore."""
    import openai

    share = judge["limit"] // workers
    limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=share, max_keepalive_connections=share)
    client = openai.AsyncOpenAI(
        base_url=judge["endpoints"][0]["base_url"],
        api_key="none",
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(limits=limits),
    )
    slots = asyncio.Semaphore(share)

    async def score(
        answer: str, messages: list[dict[str, Any]], extra_info: dict[str, Any], **_: Any
    ) -> dict[int, Score]:
        subject = prompt.subject(messages, answer, len(answer) + 100)

        async def one(criterion: Criterion) -> Score:
            asked = {"1": criterion}
            form: Any = response_format(asked, "schema")["response_format"]
            async with slots:
                completion = await client.chat.completions.create(
                    model="judge",
                    messages=[
                        {"role": "system", "content": prompt.INSTRUCTIONS},
                        {"role": "user", "content": subject + prompt.question(asked)},
                    ],
                    temperature=0.0,
                    max_tokens=1024,
                    response_format=form,
                )
            return Score(read_verdicts(completion.choices[0].message.content or "", asked)["1"])

        return dict(enumerate(await asyncio.gather(*map(one, read_rubric(extra_info)))))

    return score


def measure(
    peer: bool = False,
    *,
    responses: int,
    criteria: int,
    latency: float,
    limit: int,
    workers: int,
    chars: int,
    calls: str,
) -> dict[str, Any]:
    per_call = 1 if calls == "criterion" else criteria
    always = json.dumps({str(n + 1): True for n in range(per_call)})
    with scripted_judge(latency=latency, always=always) as server:
        endpoint = {"base_url": server.base_url, "model": "judge"}
        judge = {"endpoints": [endpoint], "limit": limit, "calls": calls}
        actor: Any = ray.remote(Worker).options(num_cpus=0)
        actors = [actor.remote(judge, peer, workers, criteria) for _ in range(workers)]
        ray.get([one.all.remote(["warm-up"] * 16) for one in actors])
        chosen = random.Random(0).choices(range(workers), k=responses)
        answers: list[list[str]] = [[] for _ in actors]
        for index, worker in enumerate(chosen):
            answers[worker].append(f"{index} ".ljust(chars, "x"))
        started = time.monotonic()
        ends = ray.get([one.all.remote(given) for one, given in zip(actors, answers, strict=True)])
        seconds = time.monotonic() - started
        counts = server.counts()
        for one in actors:
            ray.kill(one)
    made = responses * criteria // per_call
    return {
        "client": "openai" if peer else "rvpo-verl",
        "calls": made,
        "failed": sum(failed for failed, *_ in ends),
        "highest_in_flight": counts["highest"],
        "ratio": round(seconds / (made * latency / limit), 3),
        "calls_per_second": round(made / seconds),
        "growth_mib": round(sum(growth for _, growth, *_ in ends) / 1024, 1),
        "peak_mib": round(max(peak for _, _, peak, _ in ends) / 1024),
        "cpu_ms_per_call": round(1000 * sum(cpu for *_, cpu in ends) / made, 3),
    }


def main(
    responses: int = 1536,
    criteria: int = 10,
    latency: float = 0.05,
    limit: int = 256,
    workers: Annotated[int, typer.Option(help="Processes, as verl's reward.num_workers.")] = 2,
    chars: Annotated[int, typer.Option(help="Characters of an answer.")] = 2000,
    calls: str = "criterion",
    peer: Annotated[bool, typer.Option(help="Also through the openai client.")] = False,
) -> None:
    given: dict[str, Any] = {name: value for name, value in locals().items() if name != "peer"}
    ray.init(
        address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False
    )
    for through_peer in (False, True)[: 1 + peer]:
        print(json.dumps(measure(through_peer, **given)), flush=True)


if __name__ == "__main__":
    typer.run(main)

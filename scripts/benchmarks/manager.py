"""The reward manager: what it adds to the reward functions, and whether these block the event loop."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

from benchmarks import slow_rewards
from benchmarks.rows import Row, median_ms, medians_ms
from rvpo_verl.attach.manager import RvpoRewardManager
from rvpo_verl.config import RewardsConfig
from rvpo_verl.cpu.policy import build_tokenizer
from rvpo_verl.cpu.tasks import generate
from rvpo_verl.data.rlla import ground_truth
from rvpo_verl.data.rows import Row as Task
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.processes import PROCESSES
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format
from rvpo_verl.schema import parse

RESPONSES = 512
SLOW_REWARDS, RESPONSES_AT_ONCE = 17, 8
RESPONSES_COMPUTED = 1536
TICK = 0.001
"""Seconds; a loop that did not sleep at all would take a core from the rewards."""
SLOW = slow_rewards.__file__
TOOL_CALLING: dict[str, dict[str, Any]] = {"tool_call_format": {}, "tool_call_correctness": {}}


def of_ours(responses: int) -> Callable[[], Any]:
    """Scores so many responses by two rewards, all at once."""
    tasks = generate(responses, seed=0, split="train")
    tokenizer = build_tokenizer([ground_truth(task) for task in tasks], merges=400)
    batches = [_as_verl(task, tokenizer) for task in tasks]
    ours, _ = _managers(tokenizer)
    return lambda: asyncio.run(_run_all(ours, batches))


def measure() -> list[Row]:
    tasks = generate(RESPONSES, seed=0, split="train")
    truths = [ground_truth(task) for task in tasks]
    samples = [Sample(truth, ground_truth=truth, data_source="rlla") for truth in truths]
    scorer = Scorer(parse(RewardsConfig, {"rewards": TOOL_CALLING}, "rewards"))

    def functions() -> None:
        for truth in truths:
            tool_call_format(truth, truth)
            tool_call_correctness(truth, truth)

    tokenizer = build_tokenizer(truths, merges=400)
    batches = [_as_verl(task, tokenizer) for task in tasks]
    ours, peer = _managers(tokenizer)
    # In turn, each for all responses at once.
    calls = [
        functions,
        lambda: asyncio.run(_all(scorer.score, samples)),
        lambda: asyncio.run(_run_all(ours, batches)),
        lambda: asyncio.run(_run_all(peer, batches)),
    ]
    bare, *through = (ms / RESPONSES for ms in medians_ms(calls, 9))
    through_scorer, through_ours, through_peer = (ms - bare for ms in through)
    return [
        Row("overhead of a response with two rewards: calling them", through_scorer, "ms", at_most=0.2),
        Row(
            "… the whole manager, decoding included",
            through_ours,
            "ms",
            through_peer,
            "naive, one function",
            remark="both without the time of the reward functions",
        ),
        *_waiting(),
        *_stalls(),
        *_processes(),
    ]


def _waiting() -> list[Row]:
    scorer, one = _slow("sleep"), median_ms(lambda: time.sleep(0.01), 5)

    async def timed() -> float:
        await scorer.score(Sample(""))  # starts the threads
        started = time.perf_counter()
        await scorer.score(Sample(""))
        return 1e3 * (time.perf_counter() - started)

    together = statistics.median(asyncio.run(timed()) for _ in range(9))
    return [
        Row(f"{SLOW_REWARDS} synchronous rewards of 10 ms, one response", together, "ms", at_most=15),
        Row("… against one after the other", together, "ms", SLOW_REWARDS * one, "in turn"),
    ]


def _stalls() -> list[Row]:
    """The longest time for which the event loop did not run while slow rewards did, for several responses."""

    def ours(function: str) -> float:
        return _longest_gap(_slow(function).score, [Sample("")] * RESPONSES_AT_ONCE)

    calls = SLOW_REWARDS * RESPONSES_AT_ONCE
    in_threads = _longest_gap(lambda _: asyncio.to_thread(slow_rewards.compute, ""), [None] * calls)
    what = "longest stall of the event loop, rewards that"
    in_the_loop = f"10 ms is one reward; in the loop it would be {10 * calls} ms"
    return [
        Row(f"{what} wait", ours("sleep"), "ms", at_most=10, remark=in_the_loop),
        Row(
            f"{what} compute in Python, in threads",
            ours("compute"),
            "ms",
            in_threads,
            "asyncio.to_thread",
            remark="the interpreter runs one thread at a time, each for 5 ms; use executor: process",
        ),
    ]


def _processes() -> list[Row]:
    """A reward that computes for 10 ms in Python, with `executor: process`."""
    scorer = _slow("compute", rewards=1, executor="process")
    samples = [Sample("")] * RESPONSES_COMPUTED

    async def run() -> tuple[float, float, float]:
        await _all(scorer.score, samples[:8])  # starts the processes
        started = time.perf_counter()
        await _all(scorer.score, samples)
        return time.perf_counter() - started, *await _gaps_while(arriving())

    async def arriving() -> None:
        scored = []
        for sample in samples:
            scored.append(asyncio.ensure_future(scorer.score(sample)))
            await asyncio.sleep(TICK)
        await asyncio.gather(*scored)

    seconds, waited, computed = asyncio.run(run())
    processes = min(PROCESSES, os.cpu_count() or 1)
    ideal = RESPONSES_COMPUTED * 0.01 / processes
    return [
        Row(
            f"{RESPONSES_COMPUTED:,} responses, a reward that computes for 10 ms, in {PROCESSES} processes",
            seconds,
            "s",
            ideal,
            f"10 ms each on {processes} cores",
            at_most=1.15,
        ),
        Row(
            "… longest stall of the event loop, a response a millisecond",
            waited,
            "ms",
            at_most=20,
            remark=f"the loop itself computed for {computed:.2g} ms at most",
        ),
    ]


def _longest_gap(call: Callable[[Any], Any], arguments: list[Any]) -> float:
    return statistics.median(asyncio.run(_gaps_while(_all(call, arguments)))[0] for _ in range(5))


async def _gaps_while(work: Coroutine[Any, Any, None]) -> tuple[float, float]:
    """
    Returns:
        The longest time in milliseconds for which the event loop did not come back while it did the work, and the
        longest that it computed without coming back. The second does not depend on what else the machine does.
    """
    working = asyncio.ensure_future(work)
    gaps, last = [], (time.perf_counter(), time.thread_time())
    while not working.done():
        await asyncio.sleep(TICK)
        now = time.perf_counter(), time.thread_time()
        gaps.append((now[0] - last[0] - TICK, now[1] - last[1]))
        last = now
    await working
    waited, computed = (1e3 * max(gap) for gap in zip(*gaps, strict=True))
    return waited, computed


def _slow(function: str, rewards: int = SLOW_REWARDS, **options: Any) -> Scorer:
    spec = {"function": f"{SLOW}:{function}", **options}
    return Scorer(parse(RewardsConfig, {"rewards": {f"reward_{i}": spec for i in range(rewards)}}, "rewards"))


def _managers(tokenizer: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    config = OmegaConf.create(
        {"reward": {"reward_manager": {"name": "rvpo"}, "rvpo": {"rewards": TOOL_CALLING}}}
    )

    def both(data_source: str, solution_str: str, ground_truth: str, extra_info: Any) -> dict[str, float]:
        shape = tool_call_format(solution_str, ground_truth) or 0.0
        correct = tool_call_correctness(solution_str, ground_truth) or 0.0
        return {"score": shape + correct, "format": shape, "correct": correct}

    return (
        lambda: RvpoRewardManager(config, tokenizer),
        lambda: NaiveRewardManager(config, tokenizer, compute_score=both),
    )


async def _run_all(build: Callable[[], Any], batches: list[DataProto]) -> None:
    await _all(build().run_single, batches)


async def _all(call: Callable[[Any], Any], arguments: list[Any]) -> None:
    await asyncio.gather(*map(call, arguments))


def _as_verl(task: Task, tokenizer: Any) -> DataProto:
    """A batch of one row, as the reward workers get it."""
    prompts, responses = (
        torch.tensor([tokenizer.encode(text)]) for text in (task["prompt"][1]["content"], ground_truth(task))
    )
    mask = torch.ones(1, prompts.shape[1] + responses.shape[1], dtype=torch.int64)
    columns = {"raw_prompt": task["prompt"], "extra_info": {"index": 0}, "reward_model": task["reward_model"]}
    return DataProto(
        batch=TensorDict({"prompts": prompts, "responses": responses, "attention_mask": mask}, batch_size=1),
        non_tensor_batch={name: _object_array(value) for name, value in columns.items()}
        | {"data_source": np.array([task["data_source"]], dtype=object)},
    )


def _object_array(value: Any) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = value
    return array

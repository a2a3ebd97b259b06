"""The reward manager: what it adds to the reward functions, and whether these block the event loop."""

import asyncio
import statistics
import time
from collections.abc import Callable
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
from rvpo_verl.cpu.tasks import Row as Task
from rvpo_verl.cpu.tasks import generate, ground_truth
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format
from rvpo_verl.schema import parse

RESPONSES = 512
SLOW_REWARDS, RESPONSES_AT_ONCE = 17, 8
SLOW = slow_rewards.__file__
TOOL_CALLING = {"tool_call_format": {}, "tool_call_correctness": {}}


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
    one_thread = (
        "the interpreter runs one thread at a time, each for 5 ms: use processes for rewards that compute"
    )
    return [
        Row(f"{what} wait", ours("sleep"), "ms", at_most=10, remark=in_the_loop),
        Row(
            f"{what} compute in Python",
            ours("compute"),
            "ms",
            in_threads,
            "asyncio.to_thread",
            remark=one_thread,
        ),
    ]


def _longest_gap(call: Callable[[Any], Any], arguments: list[Any]) -> float:
    async def run() -> float:
        working = asyncio.ensure_future(_all(call, arguments))
        longest, last = 0.0, time.perf_counter()
        while not working.done():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        return 1e3 * longest

    return statistics.median(asyncio.run(run()) for _ in range(5))


def _slow(function: str) -> Scorer:
    rewards = {f"reward_{index}": {"function": f"{SLOW}:{function}"} for index in range(SLOW_REWARDS)}
    return Scorer(parse(RewardsConfig, {"rewards": rewards}, "rewards"))


def _managers(tokenizer: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    config = OmegaConf.create(
        {"reward": {"reward_manager": {"name": "rvpo"}, "rvpo": {"rewards": TOOL_CALLING}}}
    )

    def both(data_source: str, solution_str: str, ground_truth: str, extra_info: dict) -> dict[str, float]:
        shape = tool_call_format(solution_str, ground_truth)
        correct = tool_call_correctness(solution_str, ground_truth)
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

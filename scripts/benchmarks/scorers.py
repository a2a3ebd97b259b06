"""The tool-calling rewards against verl's `reward_score/rlla.py`, and against answers made to be slow.

One thread, both rewards for every answer, each ground truth four times (the group size of the recipe).
"""

import contextlib
import io
import json
import random
import statistics
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path

from benchmarks.rows import Row, median_ms, medians_ms
from rvpo_verl.cpu.tasks import Flaws, generate
from rvpo_verl.data.rlla import ground_truth, read_rlla
from rvpo_verl.data.rows import Row as Task
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format

GROUP = 4
ROWS = 200
THOUGHT = "<think> I think. </think>"


def call(name: str, **parameters: object) -> str:
    return json.dumps({"name": name, "parameters": parameters})


def answer(*lines: str) -> str:
    calls = "\n".join(lines)
    return f"{THOUGHT}\n<tool_call>\n{calls}\n</tool_call>"


def with_parameters(text: str) -> str:
    return f'{{"name":"f","parameters":{{{text}}}}}'


CALLS = call("f", a=1, b="x"), call("f", a=2, b="y"), call("g", c=[1, {"d": 2}])
GROUND_TRUTH = f"{answer(*CALLS)}\n<response> Done. </response>"

HOSTILE: dict[str, Callable[[int], str]] = {
    "open brackets": lambda n: answer("[" * n),
    "nested brackets": lambda n: answer("[" * (n // 2) + "]" * (n // 2)),
    "nested as deep as Python goes": lambda n: answer(*["[" * 900 + "]" * 900] * (n // 1800)),
    "empty lists": lambda n: answer(f"[{'[],' * (n // 3)}[]]"),
    "open objects": lambda n: answer('{"a":' * (n // 5)),
    "opening tags": lambda n: THOUGHT + "<tool_call>" * (n // 11),
    "closing tags": lambda n: THOUGHT + "</tool_call>" * (n // 12) + "<tool_call>",
    "unfinished tags": lambda n: THOUGHT + "<tool_cal" * (n // 9),
    "empty blocks": lambda n: THOUGHT + "<tool_call></tool_call>" * (n // 23),
    "thoughts": lambda n: "<think>" * (n // 14) + "</think>" * (n // 16),
    "turns": lambda n: "<|im_start|>assistant" * (n // 21),
    "responses": lambda n: answer(call("f", a=1)) + "<response>" * (n // 10),
    "small calls": lambda n: answer(*['{"name":"f"}'] * (n // 13)),
    "as many calls as are read": lambda n: answer(*[call("f", **dict.fromkeys(map(str, range(n // 600)), 0))] * 60),
    "many parameters": lambda n: answer(call("f", **{f"p{i}": 0 for i in range(n // 12)})),
    "one key again and again": lambda n: answer(with_parameters('"a":1,' * (n // 6) + '"a":1')),
    "one integer": lambda n: answer(with_parameters(f'"a":{"1" * n}')),
    "longest integers": lambda n: answer(with_parameters(f'"a":[{("1" * 4300 + ",") * (n // 4301)}1]')),
    "one decimal": lambda n: answer(with_parameters(f'"a":1.{"1" * n}')),
    "number in a string": lambda n: answer(call("f", a="1" * n)),
    "JSON in strings": lambda n: answer(*[call("f", a=json.dumps([1] * (n // 200)))] * 60),
    "backslashes": lambda n: answer(call("f", b="\\" * (n // 2))),
    "unfinished string": lambda n: answer('{"name":"' + '\\"' * (n // 2)),
    "spaces": lambda n: answer(" " * n + "x" + "\n" * n),
    "commas": lambda n: answer(", " * (n // 2) + "x"),
    "fences": lambda n: answer("``` " * (n // 4)),
}  # fmt: skip
"""Answers of about n characters."""

PARSED = (
    "both read calls with Python's JSON; ours also compares values tolerantly and finds the best matching"
)

SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
MEGABYTE = 10**6


KINDS = ("right answers", "right answers, written differently", "flawed answers")


def measure(rlla: Path | None) -> list[Row]:
    """
    Args:
        rlla: real rows in RLLA's schema to use beside the generated ones.
    """
    sources = {"generated": generate(ROWS, seed=0, split="train")}
    if rlla is not None:
        sources["RLLA"] = read_rlla(rlla)[:ROWS]
    rows = []
    for source, tasks in sources.items():
        for kind in KINDS:
            rows.append(_throughput(f"{source}: {kind}", *answers(kind, tasks)))
    hostile = [shape(20_000) for shape in HOSTILE.values()]
    rows.append(_throughput("hostile answers of 20 kB", hostile, [GROUND_TRUTH] * len(hostile)))
    return rows + _hostile()


def answers(kind: str, tasks: Sequence[Task] | None = None) -> tuple[list[str], list[str]]:
    """Answers of one of `KINDS`, and their ground truths."""
    tasks = tasks or generate(ROWS, seed=0, split="train")
    truths = [ground_truth(task) for task in tasks for _ in range(GROUP)]
    if kind == KINDS[0]:
        return truths, truths
    if kind == KINDS[1]:
        return [truth.replace('": ', '" : ') for truth in truths], truths
    rng, flaws = random.Random(0), Flaws(tasks)
    return [flaws.demonstration(task, rng) for task in tasks for _ in range(GROUP)], truths


def _throughput(what: str, answers: Sequence[str], truths: Sequence[str]) -> Row:
    from verl.utils.reward_score.rlla import compute_score

    def ours() -> None:
        for given, truth in zip(answers, truths, strict=True):
            tool_call_format(given, truth)
            tool_call_correctness(given, truth)

    def peer() -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints one answer in 64
            for given, truth in zip(answers, truths, strict=True):
                compute_score("rlla", given, truth, {"experiment_name": "qwen"})

    our_us, peer_us = (1e3 * ms / len(answers) for ms in medians_ms([ours, peer], 9))
    return Row(what, our_us, "µs/answer", peer_us, "rlla.py", at_least=5, if_missed=PARSED)


def _hostile() -> list[Row]:
    times = {name: [_milliseconds(shape(size)) for size in SIZES] for name, shape in HOSTILE.items()}
    at_megabyte = {name: ms[SIZES.index(MEGABYTE)] for name, ms in times.items()}
    slowest = max(at_megabyte, key=at_megabyte.__getitem__)
    slopes = {name: _exponent(ms) for name, ms in times.items()}
    steepest = max(slopes, key=slopes.__getitem__)
    shown = "; ".join(f"{size:.0e} B: {ms:.3g} ms" for size, ms in zip(SIZES, times[steepest], strict=True))
    return [
        Row(f"1 MB, slowest of {len(HOSTILE)} shapes: {slowest}", at_megabyte[slowest], "ms", at_most=50),
        Row("1 MB, median shape", statistics.median(at_megabyte.values()), "ms"),
        Row(
            f"exponent of time in length, 10 kB to 10 MB, steepest shape: {steepest}",
            slopes[steepest],
            "(1 linear, 2 quadratic)",
            at_most=1.3,
            remark=shown,
            if_missed="a dictionary of a million keys outgrows the CPU's caches",
        ),
        Row("exponent, median shape", statistics.median(slopes.values()), "(1 linear, 2 quadratic)"),
    ]


def _milliseconds(text: str) -> float:
    def both() -> None:
        tool_call_format(text, GROUND_TRUTH)
        tool_call_correctness(text, GROUND_TRUTH)

    return median_ms(both, 1 if len(text) > 2 * MEGABYTE else 3)


def _exponent(times_ms: Sequence[float]) -> float:
    """Slope of log time over log length by least squares; below 10 kB the fixed cost of a call is in the way."""
    points = [(log(size), log(ms)) for size, ms in zip(SIZES, times_ms, strict=True) if size >= 10**4]
    return statistics.linear_regression(*zip(*points, strict=True)).slope

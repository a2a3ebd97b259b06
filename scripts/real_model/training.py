"""One run. On-policy: one update for each batch of answers, without a reference policy.

Runs with the same seed have the same prompts and the same seeds for their answers, so that differences between
methods are paired.
"""

import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from real_model import prompts
from real_model.methods import METHODS, advantages
from real_model.policy import Policy, Sampled
from real_model.results import File, Run
from rvpo_verl.rewards.instructions import instructions

EVALUATION_SEED = 999
AT_ONCE = 48
"""Answers that are sampled together in an evaluation."""


@dataclass(frozen=True)
class Size:
    prompts: int = 6
    group: int = 8
    tokens: int = 80
    evaluate_every: int = 20
    evaluated_prompts: int = 24
    evaluated_at_the_end: int = 96
    answers_each: int = 4
    benchmark_tokens: int = 160
    saved_every: int = 10


def train(
    run: Run,
    policy: Policy,
    file: File,
    checkpoint: Path,
    size: Size | None = None,
    go_on: Callable[[], bool] = lambda: True,
    benchmark: Sequence[dict[str, Any]] = (),
) -> bool:
    """Makes the steps of the run that its file does not have yet.

    Args:
        checkpoint: on this machine; written at times. The recorded steps after it are made again from the recorded
            tokens.
        go_on: asked before each step.
        benchmark: rows that are answered after the last step.

    Returns:
        Whether the run is finished.
    """
    size = size or Size()
    done = _restore(run, policy, file, checkpoint, size)
    evaluated = {record["step"] for record in file.evaluations()}
    if done not in evaluated and _is_evaluated(run, done, size):
        file.add(evaluate(run, policy, done, size, benchmark))
    for step in range(done + 1, run.steps + 1):
        if not go_on():
            return False
        begun = time.monotonic()
        rows = prompts.batch(run.seed, step, size.prompts)
        sampled = policy.sample(_texts(rows), size.group, size.tokens, seed=run.seed * 1000 + step)
        sampled_s = time.monotonic() - begun
        file.add_tokens(step, sampled.answer_NT.numpy())
        record = _learn(run, policy, rows, sampled, step, size)
        file.add(record | {"sampling_s": round(sampled_s, 1), "step_s": round(time.monotonic() - begun, 1)})
        if step % size.saved_every == 0:
            unfinished = checkpoint.with_suffix(".unfinished")
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"run": run.name, "step": step} | policy.state(), unfinished)
            unfinished.replace(checkpoint)
        if _is_evaluated(run, step, size):
            file.add(evaluate(run, policy, step, size, benchmark))
    for path in (file.tokens_path, checkpoint):
        path.unlink(missing_ok=True)
    return True


def _is_evaluated(run: Run, step: int, size: Size) -> bool:
    """Runs for the learning rate are evaluated at the end alone; the untrained model is a run of no steps."""
    return step == run.steps or (
        run.evaluated_on == "held_out" and step > 0 and step % size.evaluate_every == 0
    )


def _restore(run: Run, policy: Policy, file: File, checkpoint: Path, size: Size) -> int:
    """Brings the policy to the last recorded step.

    Returns:
        That step.
    """
    steps, tokens = file.steps(), file.tokens()
    recorded = len(steps)
    for step in steps:
        if step["prompts"] != _digest(prompts.batch(run.seed, step["step"], size.prompts)):
            raise RuntimeError(
                f"{file.path}, step {step['step']}: its prompts are not the ones that are drawn today. The generator "
                "has changed since: remove the file to make the run again"
            )
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["run"] == run.name and state["step"] <= recorded:
            policy.load(state)
            done = state["step"]
    while done < recorded and done + 1 in tokens:
        rows = prompts.batch(run.seed, done + 1, size.prompts)
        sampled = policy.sampled(_texts(rows), torch.from_numpy(tokens[done + 1].astype("int64")))
        done += 1
        _learn(run, policy, rows, sampled, done, size)
    file.keep_up_to(done)
    return done


def _texts(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["prompt"] for row in rows]


def _digest(rows: Sequence[dict[str, Any]]) -> int:
    return zlib.crc32("\n".join(_texts(rows)).encode())


def _learn(
    run: Run, policy: Policy, rows: Sequence[dict[str, Any]], sampled: Sampled, step: int, size: Size
) -> dict[str, Any]:
    """One update, and what is recorded of it."""
    row_of = [row for row in rows for _ in range(size.group)]
    scores = [met(row, answer) for row, answer in zip(row_of, policy.texts(sampled), strict=True)]
    group_B = torch.arange(len(scores)) // size.group
    rewards_BM = as_matrix(scores)
    if METHODS[run.method].fluency:
        if policy.untrained is None:
            raise ValueError(f"{run.method} needs the untrained policy")
        rewards_BM = torch.cat([rewards_BM, fluency(policy.untrained, sampled)[:, None]], dim=1)
    result = advantages(METHODS[run.method], rewards_BM, group_B, sampled.length_N, step, run.steps)
    norm = policy.update(sampled, result.advantages_B)
    by_kind = defaultdict(list)
    for row, each in zip(row_of, scores, strict=True):
        for kind, score in zip(row["instruction_id_list"], each, strict=True):
            by_kind[kind].append(score)
    return {
        "step": step,
        "prompts": _digest(rows),
        "gradient_norm": norm,
        "aggregate_std": result.metrics["rvpo/aggregate_std"],
        "constant_groups": result.metrics["rvpo/constant_groups/share"],
        "largest_advantage": float(result.advantages_B.abs().max()),
        "constraints": round(_mean([_mean(each) for each in scores]), 4),
        "all": round(_mean([min(each) for each in scores]), 4),
        "tokens": round(float(sampled.length_N.float().mean()), 1),
        "kinds": {kind: round(_mean(each), 3) for kind, each in sorted(by_kind.items())},
    }


def evaluate(
    run: Run, policy: Policy, step: int, size: Size, benchmark: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Which constraints the answers to prompts that are not trained on meet: `101` for the first and the third.

    After the last step the answers are kept too, and the benchmark's rows are answered, without sampling.
    """
    rows = prompts.evaluation(
        run.evaluated_on, size.evaluated_at_the_end if step == run.steps else size.evaluated_prompts
    )
    record = {"step": step, "answers_each": size.answers_each} | _answered(
        rows, policy, size.answers_each, size.tokens, EVALUATION_SEED
    )
    if step < run.steps:
        del record["answers"]
    elif benchmark:
        answered = _answered(benchmark, policy, 1, size.benchmark_tokens, None)
        record["benchmark"] = {"keys": [row["key"] for row in benchmark]} | answered
    return record


def _answered(
    rows: Sequence[dict[str, Any]], policy: Policy, each: int, tokens: int, seed: int | None
) -> dict[str, Any]:
    met_of, answers, lengths = [], [], []
    at_once = max(1, AT_ONCE // each)
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        sampled = policy.sample(_texts(some), each, tokens, None if seed is None else seed + start)
        texts = policy.texts(sampled)
        answers += texts
        lengths += sampled.length_N.tolist()
        row_of = [row for row in some for _ in range(each)]
        met_of += [
            "".join(f"{score:.0f}" for score in met(row, answer))
            for row, answer in zip(row_of, texts, strict=True)
        ]
    return {"met": met_of, "tokens": _mean(lengths), "answers": answers}


@torch.no_grad()
def fluency(untrained: Policy, sampled: Sampled) -> Tensor:
    """(N,) mean log-probability of the tokens of each answer for the policy before training."""
    return torch.stack(
        [
            of_answer.mean()
            for prompt, answers in sampled.groups()
            for of_answer in untrained.log_prob(prompt, answers).split([len(answer) for answer in answers])
        ]
    )


def met(row: dict[str, Any], answer: str) -> list[float]:
    """1 or 0 for each constraint of the row."""
    scores = instructions(answer, row)
    failed = [f"{name}: {score.failure}" for name, score in scores.items() if score.value is None]
    if failed:
        raise RuntimeError(f"a checker failed: {failed[0]}")
    return [score.value for score in scores.values() if score.value is not None]


def as_matrix(scores: list[list[float]]) -> Tensor:
    """(B, M), NaN where a prompt has fewer constraints."""
    matrix = torch.full((len(scores), max(map(len, scores))), float("nan"))
    for row, each in enumerate(scores):
        matrix[row, : len(each)] = torch.tensor(each)
    return matrix


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)

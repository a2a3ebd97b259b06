"""The demo's rewards on held-out prompts, before and after training."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rvpo_verl.cpu import policy, tasks
from rvpo_verl.data.rlla import ground_truth
from rvpo_verl.data.rows import Row
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format

REWARDS = {"tool_call_format": tool_call_format, "tool_call_correctness": tool_call_correctness}
PERFECT = {"tool_call_format": 1.0, "tool_call_correctness": 3.0}
BOTH = "both perfect"
BATCH = 128

Scores = list[dict[str, Any]]
"""Of each answer: its prompt under `input`, its score under each reward and `BOTH`, or None where it is missing."""


@dataclass(frozen=True)
class Change:
    """One reward before and after training."""

    name: str
    sampled: tuple[float, float]
    """Means over verl's sampled validation answers."""
    greedy: tuple[float, float]
    """Means over greedy answers."""
    difference: float
    """Mean over prompts of the difference between sampled answers after and before."""
    standard_error: float
    """Of the difference. NaN with fewer than two prompts."""


def changes(sampled: Sequence[Scores], greedy: Sequence[Scores]) -> list[Change]:
    """The change of each reward, and of the share of answers that are perfect under both."""
    return [
        Change(
            name,
            (mean(sampled[0], name), mean(sampled[1], name)),
            (mean(greedy[0], name), mean(greedy[1], name)),
            *paired_difference(sampled[0], sampled[1], name),
        )
        for name in (*REWARDS, BOTH)
    ]


def mean(scores: Scores, name: str) -> float:
    """NaN if no answer has a score."""
    present = [score[name] for score in scores if score[name] is not None]
    return statistics.fmean(present) if present else math.nan


def paired_difference(before: Scores, after: Scores, name: str) -> tuple[float, float]:
    """Mean difference over the prompts that are in both, and its standard error."""
    old, new = _prompt_means(before, name), _prompt_means(after, name)
    differences = [new[prompt] - old[prompt] for prompt in old if prompt in new]
    if len(differences) < 2:
        return (differences or [math.nan])[0], math.nan
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


def _prompt_means(scores: Scores, name: str) -> dict[str, float]:
    by_prompt = defaultdict(list)
    for score in scores:
        if score[name] is not None:
            by_prompt[score["input"]].append(score[name])
    return {prompt: statistics.fmean(values) for prompt, values in by_prompt.items()}


def read_validation(path: Path) -> Scores:
    """The answers that verl's validation wrote to a JSONL file."""
    with path.open() as file:
        return [scored(json.loads(line)) for line in file]


@torch.no_grad()
def greedy_scores(folder: Path, rows: Sequence[Row], max_new_tokens: int) -> Scores:
    """Scores of the greedy answers that the policy in `folder` gives to `rows`."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    scores = []
    for start in range(0, len(rows), BATCH):
        chunk = rows[start : start + BATCH]
        prompts = [policy.prompt_ids(tokenizer, row) for row in chunk]
        batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        output = model.generate(**batch, do_sample=False, max_new_tokens=max_new_tokens)
        answers = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for row, answer in zip(chunk, answers, strict=True):
            truth = ground_truth(row)
            given = {name: reward(answer, truth) for name, reward in REWARDS.items()}
            scores.append(scored({"input": tasks.prompt_key(row), **given}))
    return scores


def scored(record: Mapping[str, Any]) -> dict[str, Any]:
    """The item of `Scores` for an answer's record."""
    scores = {}
    for name in REWARDS:
        score = record.get(name)
        scores[name] = float(score) if score is not None and math.isfinite(score) else None
    perfect = [scores[name] == best for name, best in PERFECT.items() if scores[name] is not None]
    return {"input": record["input"], **scores, BOTH: float(all(perfect)) if perfect else None}

"""The experiment's rewards as a reward function of verl's launcher: one answer, scored by its task."""

import json
import random
from functools import lru_cache
from typing import Any

import torch

from experiment import qwen, tasks
from experiment.answers import Answers

TRAIN, HELD_OUT = "train", "held_out"


def score(
    response_ids: list[int],
    tokenizer: Any,
    ground_truth: str,
    extra_info: dict[str, Any],
    *,
    task: str,
    seed: int,
) -> dict[str, float]:
    """Every reward of the task, by name; in training with the judges' noise.

    Args:
        ground_truth: the prompt's fields, as JSON.
        extra_info: its `split` is train or held_out.
        seed: of the noise.
    """
    chosen = tasks.task(task)
    words_NT = torch.tensor([qwen.answer_words(tokenizer, response_ids)])
    (rewards,) = chosen.score(Answers(words_NT, torch.tensor([json.loads(ground_truth)]))).tolist()
    if extra_info["split"] == TRAIN:
        noise = _noise(seed)
        rewards = [
            reward + tasks.JUDGE_STD * noise.normalvariate(0.0, 1.0) if judged else reward
            for reward, judged in zip(rewards, chosen.judged, strict=True)
        ]
    return dict(zip(chosen.rewards, rewards, strict=True))


@lru_cache(maxsize=1)
def _noise(seed: int) -> random.Random:
    return random.Random(seed)

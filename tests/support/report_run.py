"""The files of a made-up training, as verl and the plugin write them, of any size."""

import json
import random
from pathlib import Path
from typing import Any

from rvpo_verl.judge import prompt as judge_prompt
from rvpo_verl.names import SETTINGS, TRAINED
from rvpo_verl.rewards.vector import KEY, RewardVector
from rvpo_verl.rubric import Criterion

NAMES = ("helpful", "safe", "brief")
TRAINED_WITH = {
    "estimator": "rvpo", "aggregation": "softmin", "k": 2.0, "beta": 1.0, "eps": 1e-6, "constant_rewards": "keep",
    "bonus": 0.0, "center_groups": True,
}  # fmt: skip


def write_dump(path: Path, rows: list[dict[str, Any]]) -> None:
    """As verl's `_write_generations` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def answer(group: str, number: int, scores: dict[str, float | None], **fields) -> dict[str, Any]:
    """A line of a rollout dump."""
    present = [score for score in scores.values() if score is not None]
    vector = RewardVector(
        scores, fields.pop("weights", {}), fields.pop("failures", {}), texts=fields.pop("texts", {})
    )
    return {
        "input": f"user\nQuestion {group}: what now?\nassistant\n",
        "output": f"Answer {number} to {group}.",
        "gts": f"The truth about {group}",
        "score": float(sum(present)),
        "step": 1,
        "uid": f"{group}_{number}_0",
        KEY: vector.dumps(),
        TRAINED: None,
        SETTINGS: TRAINED_WITH,
        **fields,
    }


def random_scores(generator: random.Random, names=NAMES, missing=0.0) -> dict[str, float | None]:
    """Rewards of different scales, the second against the first; few distinct values, so that some are constant."""
    first = generator.choice([0.0, 0.5, 1.0])
    scores = {}
    for place, name in enumerate(names):
        value = [first, 1 - first + generator.choice([0, 0.25]), 3 * generator.random()][place % 3]
        scores[name] = None if generator.random() < missing else value
    return scores


def write_run(
    folder: Path, *, steps=4, groups=6, size=8, names=NAMES, missing=0.05, filler=0, validation=3, seed=0
) -> Path:
    """
    Args:
        groups: in each step, of `size` answers.
        filler: words in each answer.
        validation: prompts that are validated in every step.
    """
    generator = random.Random(seed)
    words = ["tea", "honey", "steam", "rest", "water", "doctor", "never", "always", "maybe"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metrics.jsonl", "w") as metrics:
        for step in range(1, steps + 1):
            rows = [
                answer(
                    f"{step}-{group}",
                    number,
                    random_scores(generator, names, missing),
                    step=step,
                    output=" ".join(generator.choices(words, k=filler + 5)) + f" ({step}-{group}-{number})",
                )
                for group in range(groups)
                for number in range(size)
            ]
            write_dump(folder / "rollouts" / f"{step}.jsonl", rows)
            held_out = [
                answer(f"v{group}", 0, random_scores(generator, names), step=step) | {SETTINGS: None}
                for group in range(validation)
            ]
            write_dump(folder / "validation" / f"{step}.jsonl", held_out)
            data = {"rvpo/k": 2.0, "critic/score/mean": generator.random(), "rvpo/constant_groups/share": 0.1}
            for name in names:
                mean = generator.random()
                data |= {f"rvpo/{name}/mean": mean, f"rvpo/{name}/std": 0.2, f"rvpo/{name}/missing": missing}
                data |= {
                    f"rvpo/{name}/constant_groups": 0.2,
                    f"rvpo/{name}/weight": mean,
                    f"rvpo/{name}/frozen": 0.0,
                }
                data |= {f"rvpo/{name}/neglected": float(name == names[0] and step > 2)}
                data |= {f"val-aux/data/{name}/mean@1": mean + 0.1}
            metrics.write(json.dumps({"step": step, "data": data}) + "\n")
    return folder


def judge_call(question: str, text: str, criterion: str, **fields) -> dict[str, Any]:
    """A line of a judge's log: the prompt as the judge reads it, and what came back."""
    messages = [{"role": "user", "content": question}]
    prompt = judge_prompt.subject(messages, text, 10_000) + judge_prompt.question(
        {"1": Criterion(criterion=criterion)}
    )
    return {"step": 1, "prompt": prompt, "reply": '{"1": true}', "verdict": True, "cause": None, **fields}

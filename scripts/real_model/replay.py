"""A run of verl's launcher, made again in the plain loop: its answers and rewards, this loop's advantages and updates.

What differs is how each answer's tokens are found again from its text, and rounding in bfloat16.
"""

import json
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import torch

from real_model.methods import METHODS, advantages
from real_model.policy import Policy
from real_model.training import as_matrix

FILE = "replay.json"
"""Lines of JSON; of another ending than the runs have."""


@dataclass(frozen=True)
class Step:
    step: int
    gradient_norm: float
    verls_gradient_norm: float
    advantage_difference: float
    """The largest, between the advantages of this loop and those that verl trained on."""


def replay(policy: Policy, folder: Path, method: str, tokens: int) -> list[Step]:
    """
    Args:
        policy: as it was before the launcher's run, with all parameters trained and verl's learning rate.
        folder: of the demo, with `rollouts/` and `metrics.jsonl`.
        tokens: the longest answer; a shorter one ended by itself.
    """
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    norms = {
        line["step"]: line["data"]["actor/grad_norm"] for line in metrics if "actor/grad_norm" in line["data"]
    }
    return [
        _step(policy, folder / "rollouts" / f"{step}.jsonl", method, tokens, norms[step]) for step in norms
    ]


def write(steps: list[Step], path: Path) -> None:
    path.write_text("".join(json.dumps(asdict(step)) + "\n" for step in steps))


def read(path: Path) -> list[Step]:
    return [Step(**json.loads(line)) for line in path.read_text().splitlines()]


def _step(policy: Policy, path: Path, method: str, tokens: int, verls: float) -> Step:
    dumped = [json.loads(line) for line in path.read_text().splitlines()]
    dumped = [line for line in dumped if line.get("rvpo_trained") is not None]
    dumped.sort(key=lambda line: line["input"])
    groups = [list(group) for _, group in groupby(dumped, key=lambda line: line["input"])]
    each = len(groups[0])
    answers = [_tokens(policy, line["output"], tokens) for line in dumped]
    sampled = policy.sampled(
        [_user(group[0]["input"]) for group in groups],
        torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=policy.pad),
    )
    scores = [list(json.loads(line["rvpo_rewards"])["scores"].values()) for line in dumped]
    group_B = torch.arange(len(dumped)) // each
    own = advantages(METHODS[method], as_matrix(scores), group_B, sampled.length_N, 1, 1).advantages_B
    trained = torch.tensor([line["rvpo_trained"] for line in dumped])
    norm = policy.update(sampled, own)
    return Step(dumped[0]["step"], norm, verls, float((own - trained).abs().max()))


def _user(text: str) -> str:
    """The user's message in a conversation that was decoded without its special tokens."""
    return text.split("\nuser\n", 1)[1].removesuffix("\nassistant\n")


def _tokens(policy: Policy, text: str, longest: int) -> torch.Tensor:
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False).input_ids
    return torch.tensor([*ids, policy.eos] if len(ids) < longest else ids[:longest])

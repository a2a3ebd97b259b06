"""Three structures of conflict between the rewards of an answer.

    shortcut    The forbidden tool lifts every judge to 1 and breaks `safe`; its cautious partner keeps `safe`
                and the judges give it a half. An honest compromise exists. The number of judges is M - 3.
    tradeoff    A graded hard reward, the share of four cues in the thought, against brevity.
    discovery   A hard reward that is all or nothing and rare at first, beside easy ones: the thought must open
                with the two cues that the arguments call for. Nothing speaks against it but its rareness.

An answer *meets all constraints* if every reward is at least what the ideal answer to its prompt gets.

Shapes: N answers, T words, F fields of a prompt, M rewards.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from experiment import words
from experiment.answers import Answers
from experiment.prompts import ASKED, AT_DAY, AT_PLACE, receipt, right_tool

GENTLE = (18, 10)
"""Longest and buffer of `tradeoff`'s brevity: each word beyond 8, an answer without a thought, costs 0.1."""
LOOSE = (words.MAX_WORDS, 2)
"""`discovery`'s: only the last two words cost anything, so that brevity is easy and forbids nothing."""
JUDGE_STD = 0.1
"""Every judge's verdict is this uncertain, as repeated calls of a model are."""


@dataclass(frozen=True)
class Task:
    name: str
    rewards: tuple[str, ...]
    score: Callable[[Answers], Tensor]
    """Answers -> (N, M) rewards, without the judges' noise."""
    ideal_notes: Callable[[Tensor], Tensor]
    """Prompts -> (N, notes) thought of the ideal answer."""
    judged: tuple[bool, ...]
    """Which rewards come from a judge."""

    @property
    def lowest(self) -> tuple[float, ...]:
        """Value of each reward at its worst."""
        return tuple({"correct": -3.0, "brevity": -1.0}.get(name, 0.0) for name in self.rewards)

    def ideal(self, prompts_NF: Tensor) -> Tensor:
        """(N, T) an answer that meets all constraints in the fewest words."""
        count = len(prompts_NF)
        notes = self.ideal_notes(prompts_NF)
        pieces = [
            torch.full((count, 1), words.THINK),
            notes,
            torch.full((count, 1), words.THINK_END),
            torch.full((count, 1), words.OPEN),
            (words.TOOL + right_tool(prompts_NF))[:, None],
            (words.WHERE_0 + prompts_NF[:, AT_PLACE])[:, None],
            (words.WHEN_0 + prompts_NF[:, AT_DAY])[:, None],
            torch.full((count, 1), words.CLOSE),
        ]
        answer = torch.cat(pieces, dim=1)
        return torch.nn.functional.pad(answer, (0, words.MAX_WORDS - answer.shape[1]), value=words.END)

    def ideal_rewards(self, prompts_NF: Tensor) -> Tensor:
        return self.score(Answers(self.ideal(prompts_NF), prompts_NF))


def meets_all(rewards_NM: Tensor, ideal_NM: Tensor) -> Tensor:
    return (rewards_NM >= ideal_NM - 1e-6).all(dim=1)


def _score_shortcut(answers: Answers, judges: int) -> Tensor:
    asked = answers.prompts_NF[:, ASKED]
    # Either call is right as a call: whether the tool may be called is for `safe` to say.
    correct = torch.maximum(answers.correctness(asked), answers.correctness(asked + words.DIRECT))
    verdict = (answers.called_N == asked) + 0.5 * (answers.called_N == asked + words.DIRECT)
    return torch.stack([answers.format(), correct, answers.safe(), *[verdict] * judges], dim=1)


def _common(answers: Answers, brevity: tuple[int, int]) -> list[Tensor]:
    return [
        answers.format(),
        answers.right_tool(),
        answers.correctness(right_tool(answers.prompts_NF)),
        answers.safe(),
        answers.brevity(*brevity),
    ]


def _score_tradeoff(answers: Answers) -> Tensor:
    return torch.stack([*_common(answers, GENTLE), answers.cues_in_thought().float().mean(dim=1)], dim=1)


def _score_discovery(answers: Answers) -> Tensor:
    notes = receipt(answers.prompts_NF)
    return torch.stack(
        [*_common(answers, LOOSE), answers.thought_begins_with(notes[:, 0], notes[:, 1]).float()], dim=1
    )


def _no_notes(prompts_NF: Tensor) -> Tensor:
    return torch.zeros(len(prompts_NF), 0, dtype=torch.long)


def _all_cues(prompts_NF: Tensor) -> Tensor:
    return (words.CUE + torch.arange(words.CUES)).expand(len(prompts_NF), words.CUES)


def shortcut(rewards: int = 6) -> Task:
    judges = rewards - 3
    if judges < 1:
        raise ValueError(f"rewards={rewards}; the shortcut task needs at least 4, so that one is a judge's")
    return Task(
        name="shortcut",
        rewards=("format", "correct", "safe", *(f"judge_{i}" for i in range(judges))),
        score=lambda answers: _score_shortcut(answers, judges),
        ideal_notes=_no_notes,
        judged=(False,) * 3 + (True,) * judges,
    )


_COMMON = ("format", "tool", "correct", "safe", "brevity")
TRADEOFF = Task("tradeoff", (*_COMMON, "reasons"), _score_tradeoff, _all_cues, (False,) * 5 + (True,))
DISCOVERY = Task("discovery", (*_COMMON, "receipt"), _score_discovery, receipt, (False,) * 6)


def task(name: str, rewards: int = 6) -> Task:
    """The task of this name; only `shortcut` comes with other than 6 rewards.

    Raises:
        ValueError: an unknown name, or a number of rewards that the task does not have.
    """
    if name == "shortcut":
        return shortcut(rewards)
    fixed = {"tradeoff": TRADEOFF, "discovery": DISCOVERY}
    if name not in fixed:
        raise ValueError(f"task={name!r}; accepted: shortcut, tradeoff, discovery")
    if rewards != len(fixed[name].rewards):
        raise ValueError(f"rewards={rewards}; {name} has {len(fixed[name].rewards)}")
    return fixed[name]

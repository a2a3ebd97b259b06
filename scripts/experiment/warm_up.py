"""Supervised warm-up on flawed demonstrations: what reinforcement learning starts from.

The checkpoints are a ladder: they differ in how often the forbidden tool is called where a user asks for it,
because that decides which behavior is the exception in a group. All other flaws are the same for all
checkpoints, tasks and methods.

Shapes: R runs, N demonstrations, T words, F fields of a prompt, V vocabulary.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from experiment import policy, prompts, words
from experiment.prompts import ASKED, AT_DAY, AT_PLACE

STEPS, BATCH, LEARNING_RATE, SEED = 1000, 128, 4e-3, 2024
FORBIDDEN_TOOL = (0.1, 0.2, 0.35)
"""Of each checkpoint: share of demonstrations that call the asked tool where it is forbidden."""
OTHER_TOOL = 0.25
"""Share that call a tool with no connection; the rest call the cautious partner, or elsewhere mostly the asked."""
PARTNER_ELSEWHERE = 0.2
WRONG_ARGUMENT, LOST_WORD = 0.15, 0.30
NOTES = 3.0
"""Notes in a demonstration's thought, on average, before they are cut to 5."""
RECEIPT = 0.08
"""Share of demonstrations whose thought opens with the cues that the arguments call for."""


def demonstrations(
    prompts_NF: Tensor, forbidden_tool: float, generator: torch.Generator, receipt_share: float = RECEIPT
) -> Tensor:
    """(N, T) flawed answers."""
    N = len(prompts_NF)

    def chance(share: float) -> Tensor:
        return torch.rand(N, generator=generator) < share

    def draw(high: int) -> Tensor:
        return torch.randint(high, (N,), generator=generator)

    asked = prompts_NF[:, ASKED]
    direct = torch.where(prompts.in_conflict(prompts_NF), forbidden_tool, 1 - OTHER_TOOL - PARTNER_ELSEWHERE)
    kind = torch.rand(N, generator=generator)
    other = (asked + 1 + draw(words.DIRECT - 1)) % words.DIRECT + words.DIRECT * draw(2)
    tool = torch.where(kind < direct, asked, torch.where(kind < 1 - OTHER_TOOL, asked + words.DIRECT, other))
    where = torch.where(chance(WRONG_ARGUMENT), draw(words.WHERE), prompts_NF[:, AT_PLACE])
    when = torch.where(chance(WRONG_ARGUMENT), draw(words.WHEN), prompts_NF[:, AT_DAY])

    longest = words.MAX_WORDS - 8
    count = torch.poisson(torch.full((N,), NOTES), generator=generator).long().clamp(max=longest)
    notes = torch.stack([words.CUE + draw(words.CUES + words.FILLERS) for _ in range(longest)], dim=1)
    receipt = chance(receipt_share)
    count = torch.where(receipt, count.clamp(min=2), count)
    notes[:, :2] = torch.where(receipt[:, None], prompts.receipt(prompts_NF), notes[:, :2])

    lost = torch.where(chance(LOST_WORD), draw(4), -1)
    answers = []
    for row in range(N):
        answer = [
            words.THINK, *notes[row, : count[row]].tolist(), words.THINK_END, words.OPEN, words.TOOL + int(tool[row]),
            words.WHERE_0 + int(where[row]), words.WHEN_0 + int(when[row]), words.CLOSE,
        ]  # fmt: skip
        if lost[row] >= 0:
            answer.remove([words.THINK, words.THINK_END, words.OPEN, words.CLOSE][lost[row]])
        answers.append(answer + [words.END] * (words.MAX_WORDS - len(answer)))
    return torch.tensor(answers)


@lru_cache(maxsize=1)
def checkpoints(steps: int = STEPS) -> policy.Parameters:
    """A policy for each of FORBIDDEN_TOOL, from different initializations and demonstrations."""
    count = len(FORBIDDEN_TOOL)
    generator = torch.Generator().manual_seed(SEED)
    parameters = policy.initialize(count, generator)
    for tensor in parameters.values():
        tensor.requires_grad_()
    optimizer = torch.optim.Adam(parameters.values(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)
        prompts_RNF = prompts.sample(count * BATCH, generator).view(count, BATCH, -1)
        pairs = zip(prompts_RNF, FORBIDDEN_TOOL, strict=True)
        words_RNT = torch.stack([demonstrations(prompts_NF, share, generator) for prompts_NF, share in pairs])
        scored = policy.log_prob(parameters, prompts_RNF, words_RNT)
        loss = -(scored.log_prob_RNT.sum(dim=(1, 2)) / scored.mask_RNT.sum(dim=(1, 2))).sum()
        optimizer.zero_grad()
        loss.backward()
        policy.clip_norm(parameters, 1.0)
        optimizer.step()
    return {name: tensor.detach() for name, tensor in parameters.items()}

"""Prompts: which tool the user asks for, with which arguments, and which tool a rule forbids.

Shapes: N prompts, F = 4 fields (asked, forbidden, where, when).
"""

import torch
from torch import Tensor

from experiment.words import CUE, DIRECT, WHEN, WHERE

ASKED, FORBIDDEN, AT_PLACE, AT_DAY = range(4)
FIELD_SIZES = (DIRECT, DIRECT + 1, WHERE, WHEN)
"""Values of each field; `forbidden` is 0 where nothing is, else 1 + the tool."""
CONFLICT_SHARE = 0.5
"""Share of prompts that forbid what the user asks for; of the others half forbid another tool."""


def held_out(asked: Tensor, where: Tensor, when: Tensor) -> Tensor:
    """An eighth of the combinations of tool and arguments are never trained on."""
    return (3 * asked + 5 * where + when) % 8 == 0


def sample(count: int, generator: torch.Generator) -> Tensor:
    """(N, F) training prompts."""

    def draw(high: int) -> Tensor:
        return torch.randint(high, (count,), generator=generator)

    asked, where, when = draw(DIRECT), draw(WHERE), draw(WHEN)
    # Moving the day by one leaves the held-out set, and keeps the draw free of loops.
    when = torch.where(held_out(asked, where, when), (when + 1) % WHEN, when)
    kind = torch.rand(count, generator=generator)
    other = (asked + 1 + draw(DIRECT - 1)) % DIRECT
    forbidden = torch.where(
        kind < CONFLICT_SHARE, 1 + asked, torch.where(kind < (1 + CONFLICT_SHARE) / 2, 1 + other, 0)
    )
    return torch.stack([asked, forbidden, where, when], dim=1)


def evaluation() -> Tensor:
    """(N, F) held-out prompts: every combination, once in conflict and once not."""
    asked, where, when = torch.meshgrid(
        torch.arange(DIRECT), torch.arange(WHERE), torch.arange(WHEN), indexing="ij"
    )
    chosen = held_out(asked, where, when)
    asked, where, when = asked[chosen], where[chosen], when[chosen]
    no_rule = torch.where((where + asked) % 2 == 0, 0, 1 + (asked + 1 + where % (DIRECT - 1)) % DIRECT)
    blocks = [torch.stack([asked, rule, where, when], dim=1) for rule in (1 + asked, no_rule)]
    return torch.cat(blocks)


def in_conflict(prompts_NF: Tensor) -> Tensor:
    return prompts_NF[:, FORBIDDEN] == 1 + prompts_NF[:, ASKED]


def right_tool(prompts_NF: Tensor) -> Tensor:
    """The tool asked for, or its cautious partner where that is forbidden."""
    return prompts_NF[:, ASKED] + DIRECT * in_conflict(prompts_NF).long()


def receipt(prompts_NF: Tensor) -> Tensor:
    """(N, 2) words that `discovery` wants at the start of the thought: a cue for the place, one for the day."""
    return torch.stack([CUE + prompts_NF[:, AT_PLACE] % 2, CUE + 2 + prompts_NF[:, AT_DAY] % 2], dim=1)

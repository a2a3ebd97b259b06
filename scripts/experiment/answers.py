"""What can be read off an answer's words, for many answers at once, and the rewards every task builds on.

The format and the correctness of a call are the project's own (`rvpo_verl.rewards`): regular answers, whose
scores follow from a few comparisons, are scored here, all others by its code on their text.

Shapes: N answers, T words, F fields of a prompt.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from experiment import words
from experiment.prompts import ASKED, AT_DAY, AT_PLACE, FORBIDDEN, right_tool
from experiment.words import CLOSE, CUE, DIRECT, END, OPEN, THINK, THINK_END, TOOL, WHEN_0, WHERE_0
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format


@dataclass(frozen=True)
class Answers:
    words_NT: Tensor
    """Words, END from the end on."""
    prompts_NF: Tensor

    @cached_property
    def length_N(self) -> Tensor:
        """Words, END included."""
        ends = (self.words_NT == END).any(dim=1)
        first = (self.words_NT == END).int().argmax(dim=1)
        return torch.where(ends, first + 1, self.words_NT.shape[1])

    @cached_property
    def thought_end_N(self) -> Tensor:
        """Position of the first `</think>`, -1 if there is none."""
        return _first(self.words_NT == THINK_END)

    @cached_property
    def regular_N(self) -> Tensor:
        """`<think> ... </think> <tool_call> TOOL WHERE WHEN </tool_call> END`, one call and nothing after it."""
        i = self.thought_end_N
        call_N6 = self._at(i[:, None] + torch.arange(1, 7))
        shape = (
            (call_N6[:, 0] == OPEN)
            & _between(call_N6[:, 1], TOOL, WHERE_0)
            & _between(call_N6[:, 2], WHERE_0, WHEN_0)
            & _between(call_N6[:, 3], WHEN_0, CUE)
            & (call_N6[:, 4] == CLOSE)
            & (call_N6[:, 5] == END)
        )
        return shape & (i > 0) & (self.words_NT[:, 0] == THINK)

    @cached_property
    def called_N(self) -> Tensor:
        """Tool of the first call after the thought, -1 if there is none."""
        after = torch.arange(self.words_NT.shape[1]) > self.thought_end_N[:, None]
        opened = _first((self.words_NT == OPEN) & after)
        name = self._at(opened[:, None] + 1)[:, 0] - TOOL
        return torch.where((opened >= 0) & (name >= 0) & (name < 2 * DIRECT), name, -1)

    def format(self) -> Tensor:
        score_N = torch.ones(len(self.words_NT))
        for row in self._irregular():
            score_N[row] = _format(tuple(self.words_NT[row].tolist()))
        return score_N

    def correctness(self, tool_N: Tensor) -> Tensor:
        """`tool_call_correctness`, -3 to 3, if `tool_N` were the right tools."""
        call_N3 = self._at(self.thought_end_N[:, None] + torch.arange(2, 5))
        right = call_N3[:, 0] == TOOL + tool_N
        place = call_N3[:, 1] == WHERE_0 + self.prompts_NF[:, AT_PLACE]
        day = call_N3[:, 2] == WHEN_0 + self.prompts_NF[:, AT_DAY]
        # S = names 1 + parameter names 1 + values 2, of S_max = 4
        score_N = torch.where(right, 2.0 + place.float() + day.float(), 0.0) * 6 / 4 - 3
        for row in self._irregular():
            truth = (int(tool_N[row]), *self.prompts_NF[row, AT_PLACE:].tolist())
            score_N[row] = _correctness(tuple(self.words_NT[row].tolist()), truth)
        return score_N

    def right_tool(self) -> Tensor:
        return (self.called_N == right_tool(self.prompts_NF)).float()

    def safe(self) -> Tensor:
        """0 if the forbidden tool is named anywhere."""
        forbidden = self.prompts_NF[:, FORBIDDEN, None]
        return 1 - ((self.words_NT == TOOL - 1 + forbidden) & (forbidden > 0)).any(dim=1).float()

    def brevity(self, longest: int, buffer: int) -> Tensor:
        """`rvpo_verl.rewards.text.length`."""
        return ((longest - buffer - self.length_N) / buffer).clamp(-1, 0)

    def cues_in_thought(self) -> Tensor:
        """(N, CUES): whether each cue stands in the thought."""
        thought = torch.arange(self.words_NT.shape[1]) < self.thought_end_N[:, None]
        here = [((self.words_NT == CUE + cue) & thought).any(dim=1) for cue in range(words.CUES)]
        return torch.stack(here, dim=1)

    def thought_begins_with(self, first_N: Tensor, second_N: Tensor) -> Tensor:
        """Whether the thought is opened by these two words."""
        start = (self.words_NT[:, 0] == THINK) & (self.thought_end_N > 2)
        return start & (self.words_NT[:, 1] == first_N) & (self.words_NT[:, 2] == second_N)

    def asked(self) -> Tensor:
        return self.prompts_NF[:, ASKED]

    def _at(self, position_NP: Tensor) -> Tensor:
        """Words at these positions, END beyond the last."""
        last = self.words_NT.shape[1] - 1
        found = self.words_NT.gather(1, position_NP.clamp(0, last))
        return torch.where(position_NP > last, END, found)

    def _irregular(self) -> list[int]:
        return (~self.regular_N).nonzero()[:, 0].tolist()


def _first(flag_NT: Tensor) -> Tensor:
    return torch.where(flag_NT.any(dim=1), flag_NT.int().argmax(dim=1), -1)


def _between(values: Tensor, low: int, high: int) -> Tensor:
    return (values >= low) & (values < high)


@lru_cache(maxsize=1 << 18)
def _format(answer: tuple[int, ...]) -> float:
    return _scored(tool_call_format(words.text(answer), words.ground_truth(0, 0, 0)))


@lru_cache(maxsize=1 << 18)
def _correctness(answer: tuple[int, ...], truth: tuple[int, int, int]) -> float:
    return _scored(tool_call_correctness(words.text(answer), words.ground_truth(*truth)))


def _scored(score: float | None) -> float:
    if score is None:
        raise RuntimeError(
            "the reward is missing, so that it could not read the ground truth of this experiment"
        )
    return score

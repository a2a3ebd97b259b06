"""Rule rewards for tool calling on RLLA's answer format: is it kept, and are the right tools called right?

    correctness = 6 S / S_max - 3                     ToolRL, arXiv:2504.13958; GDPO, arXiv:2601.05242
    S     = J(tool names) + sum over matched calls [J(parameter names) + number of equal values]
    S_max = 1 + sum over the ground truth's calls [1 + number of parameters]

J is the Jaccard index, |A ∩ B| / |A ∪ B| of multisets. Calls are matched with calls of the same name, each
once. Two modes:

* `robust`, the default, reads what a tolerant client would (`parser`), calls in any order, and matches them so
  that S is largest. If an answer has m calls where the ground truth has n < m, S is multiplied by n/m, so that
  calling with every guess never scores above the best n of the guesses; so is the part of a call by its numbers of
  parameters. It also scores ground truths without a call.
* `strict` gives what verl's `utils/reward_score/rlla.py` gives for ChatML models, bit for bit, to reproduce
  published runs. There a ground truth without a call scores 0 for any answer, and where two values of a
  parameter, or two names of it, are possible, calling with both scores more than choosing one.

Both are linear in the length of the response and raise on no response. A score is None (the reward is
missing) where the ground truth cannot be read, or is not a string.

Of a response of several turns `robust` reads each that the model wrote, and takes their calls together; what tools
returned is never read. `strict` is for single turns, as upstream is, and reads what the model wrote as one text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rvpo_verl.rewards.sample import written
from rvpo_verl.rewards.tool_calling import robust, strict

__all__ = ["tool_call_correctness", "tool_call_format"]

Mode = Literal["robust", "strict"]
Turns = Sequence[Mapping[str, Any]]


def tool_call_format(
    response: str, ground_truth: str, mode: Mode = "robust", turns: Turns | None = None
) -> float | None:
    """1 if the answer consists of the parts that the ground truth has, in the format's order; else 0.

    The parts are `<think>`, always, then `<tool_call>` and `<response>`, each once. `robust` asks which of
    them the ground truth has outside of its thought, and ignores whitespace around the parts. Of several turns each
    has to consist of a thought and what it has of the other parts, and together they have those of the ground truth.

    Args:
        turns: the response as messages; by default it is a single turn.

    Raises:
        ValueError: an unknown mode.
    """
    if _is_strict(mode):
        return strict.format(response, ground_truth)
    return robust.format(_texts(response, turns), ground_truth)


def tool_call_correctness(
    response: str, ground_truth: str, mode: Mode = "robust", turns: Turns | None = None
) -> float | None:
    """How well the calls of the answer agree with those of the ground truth, from -3 to 3.

    `robust`: 3 exactly if the calls are the same up to their order; -3 if any block of the answer cannot be
    read, or holds too many calls (`robust.MAX_EXTRA_CALLS`). A ground truth without a call gives 3 to an answer
    that says something and has no `<tool_call>`, both outside of its thought, else -3; whether there is a
    `<response>` is decided by `tool_call_format`.

    Args:
        turns: the response as messages; by default it is a single turn.

    Raises:
        ValueError: an unknown mode.
    """
    if _is_strict(mode):
        return strict.correctness(response, ground_truth)
    return robust.correctness(_texts(response, turns), ground_truth)


def _texts(response: str, turns: Turns | None) -> list[str]:
    return [response] if turns is None else written(turns)


def _is_strict(mode: str) -> bool:
    if mode not in ("robust", "strict"):
        raise ValueError(f"mode={mode!r}; accepted: robust, strict")
    return mode == "strict"

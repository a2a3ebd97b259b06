"""Rule rewards for tool calling on RLLA's answer format: is it kept, and are the right tools called right?

    correctness = 6 S / S_max - 3                     ToolRL, arXiv:2504.13958; GDPO, arXiv:2601.05242
    S     = J(tool names) + sum over matched calls [J(parameter names) + number of equal values]
    S_max = 1 + sum over the ground truth's calls [1 + number of parameters]

J is the Jaccard index, |A ∩ B| / |A ∪ B| of multisets. Calls are matched with calls of the same name, each
once. Two modes:

* `robust`, the default, reads what a tolerant client would (`tool_call_parser`), calls in any order, and
  matches them so that S is largest. It also scores ground truths without a call.
* `strict` gives what verl's `utils/reward_score/rlla.py` gives for ChatML models, bit for bit, to reproduce
  published runs. There a ground truth without a call scores 0 for any answer.

Both are linear in the length of the response and raise on no response. A score is None (the reward is
missing) where the ground truth cannot be read, or is not a string.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from rvpo_verl.rewards.tool_call_parser import (
    CLOSE,
    OPEN,
    Call,
    UnparsableError,
    assistant_text,
    parse_calls,
    same,
    split_thought,
)

Mode = Literal["robust", "strict"]
LOWEST, HIGHEST = -3.0, 3.0
# An answer with more calls than that beyond the ground truth's gets LOWEST unread, so that matching is cheap.
MAX_EXTRA_CALLS = 64


def tool_call_format(response: str, ground_truth: str, mode: Mode = "robust") -> float | None:
    """1 if the answer consists of the parts that the ground truth has, in the format's order; else 0.

    The parts are `<think>`, always, then `<tool_call>` and `<response>`, each once. `robust` asks which of
    them the ground truth has outside of its thought, and does not mind whitespace around the parts.
    """
    return _of_mode(mode, _robust_format, _strict_format)(response, ground_truth)


def tool_call_correctness(response: str, ground_truth: str, mode: Mode = "robust") -> float | None:
    """How well the calls of the answer agree with those of the ground truth, from -3 to 3.

    `robust`: 3 exactly if the calls are the same up to their order; -3 if any block of the answer cannot be
    read, or holds too many calls (`MAX_EXTRA_CALLS`). A ground truth without a call gives 3 to an answer
    without `<tool_call>` outside of its thought, -3 to one with it; whether there is a `<response>` is for
    `tool_call_format` to say.
    """
    return _of_mode(mode, _robust_correctness, _strict_correctness)(response, ground_truth)


def _of_mode(mode: str, robust: Callable, strict: Callable) -> Callable:
    if mode == "robust":
        return robust
    if mode == "strict":
        return strict
    raise ValueError(f"mode={mode!r}; accepted: robust, strict")


# --- robust -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroundTruth:
    answer: str
    """All but the thought, stripped."""
    has_call: bool
    has_response: bool
    calls: dict[str, list[dict[str, Any]]] | None
    """Parameters of the calls, by name; None if they cannot be read."""
    count: int
    """Number of calls."""
    best: float
    """S_max."""


# Each ground truth is scored once for every response of its group.
@lru_cache(maxsize=1024)
def _read_ground_truth(ground_truth: str) -> GroundTruth | None:
    """None if it has no part of the format (the row of another task, say)."""
    thought, answer = split_thought(ground_truth.strip())
    has_call = OPEN in answer
    # `<response>` inside of a call is part of a parameter.
    has_response = "<response>" in (answer.partition(OPEN)[0] + answer.rpartition(CLOSE)[2])
    if thought is None and not has_call and not has_response:
        return None
    try:
        calls = parse_calls(answer)
    except UnparsableError:
        calls = []
    best = 1.0 + sum(1.0 + len(call.parameters) for call in calls)
    return GroundTruth(answer.strip(), has_call, has_response, _by_name(calls) or None, len(calls), best)


def _robust_format(response: str, ground_truth: str) -> float | None:
    truth = _read_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if truth is None:
        return None
    thought, rest = split_thought(assistant_text(response))
    if thought is None or not thought.startswith("<think>"):
        return 0.0
    if rest.count(OPEN) != truth.has_call or rest.count(CLOSE) != truth.has_call:
        return 0.0
    if truth.has_call:
        before, _, rest = rest.partition(OPEN)
        _, closed, rest = rest.partition(CLOSE)
        if before.strip() or not closed:
            return 0.0
    rest = rest.strip()
    if not truth.has_response:
        return 0.0 if rest else 1.0
    once = rest.count("<response>") == rest.count("</response>") == 1
    return 1.0 if once and rest.startswith("<response>") and rest.endswith("</response>") else 0.0


def _robust_correctness(response: str, ground_truth: str) -> float | None:
    truth = _read_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if truth is None or (truth.has_call and truth.calls is None):
        return None
    answer = split_thought(assistant_text(response))[1].strip()
    if not truth.has_call:
        return LOWEST if OPEN in answer else HIGHEST
    if answer == truth.answer:
        return HIGHEST
    try:
        score = _similarity(truth, parse_calls(answer, limit=truth.count + MAX_EXTRA_CALLS))
    except (UnparsableError, RecursionError):
        return LOWEST
    return (HIGHEST - LOWEST) * score / truth.best + LOWEST


def _similarity(truth: GroundTruth, given: Sequence[Call]) -> float:
    """S, with the matching that makes it largest."""
    candidates = _by_name(given)
    shared, matched = 0, 0.0
    for name, expected in truth.calls.items():
        if name in candidates:
            shared += min(len(expected), len(candidates[name]))
            matched += best_matching(
                [[_agreement(ours, theirs) for theirs in candidates[name]] for ours in expected]
            )
    return shared / (truth.count + len(given) - shared) + matched


def _agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """J(parameter names) + number of equal values."""
    shared = equal = 0
    for name, value in ours.items():
        if name in theirs:
            shared += 1
            equal += same(value, theirs[name])
    union = len(ours) + len(theirs) - shared
    return (shared / union if union else 1.0) + equal


def _by_name(calls: Sequence[Call]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        groups.setdefault(call.name, []).append(call.parameters)
    return groups


def best_matching(gains: list[list[float]]) -> float:
    """Largest sum of `gains[row][column]` with each row and each column taken at most once.

    The gains are at least 0, the matrix not empty. Shortest augmenting paths (Kuhn and Munkres; Jonker and
    Volgenant, 1987) in O(rows² columns), rows being the shorter side.
    """
    if len(gains) > len(gains[0]):
        gains = [list(column) for column in zip(*gains, strict=True)]
    if len(gains) == 1:
        return max(gains[0])
    rows, columns = len(gains), len(gains[0])
    # One row is added at a time. Column `columns` stands for the row that still looks for a column.
    row_price, column_price = [0.0] * rows, [0.0] * (columns + 1)
    row_of = [-1] * (columns + 1)
    for row in range(rows):
        row_of[columns] = row
        column, visited = columns, [False] * (columns + 1)
        slack, previous = [float("inf")] * columns, [columns] * columns
        while row_of[column] >= 0:
            visited[column] = True
            here = row_of[column]
            for j in range(columns):
                if not visited[j]:
                    reduced = -gains[here][j] - row_price[here] - column_price[j]
                    if reduced < slack[j]:
                        slack[j], previous[j] = reduced, column
            nearest = min((j for j in range(columns) if not visited[j]), key=slack.__getitem__)
            step = slack[nearest]
            for j in range(columns + 1):
                if visited[j]:
                    row_price[row_of[j]] += step
                    column_price[j] -= step
                elif j < columns:
                    slack[j] -= step
            column = nearest
        while column != columns:
            row_of[column] = row_of[previous[column]]
            column = previous[column]
    return sum(gains[row][column] for column, row in enumerate(row_of[:columns]) if row >= 0)


# --- strict -----------------------------------------------------------------------------------------------
# The order of operations is upstream's throughout: what raises first decides the score of malformed calls.


def _strict_format(response: str, ground_truth: str) -> float | None:
    if not isinstance(ground_truth, str) or _strict_ground_truth(ground_truth) is None:
        return None
    text = assistant_text(response)
    has_call, has_response = OPEN in ground_truth, "<response>" in ground_truth
    once = ((OPEN, CLOSE) if has_call else ()) + (("<response>", "</response>") if has_response else ())
    if has_call and has_response:
        pieces = ["</think>\n<tool_call>\n", "\n</tool_call>\n<response>", "</response>"]
    elif has_call:
        pieces = ["</think>\n<tool_call>\n", "\n</tool_call>"]
    elif has_response:
        pieces = ["</think>\n<response>", "</response>"]
    else:
        pieces = ["</think>"]
    matches = _matches_in_order(text, ["<think>", *pieces])
    return 1.0 if matches and all(text.count(tag) == 1 for tag in once) else 0.0


def _matches_in_order(text: str, pieces: list[str]) -> bool:
    """`re.search("^" + ".*?".join(pieces) + "$", text, re.DOTALL)` for stripped text, without backtracking."""
    first, *inner, last = pieces
    if not text.startswith(first):
        return False
    position = len(first)
    for piece in inner:
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return text.endswith(last) and len(text) - len(last) >= position


def _strict_correctness(response: str, ground_truth: str) -> float | None:
    expected = _strict_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if expected is None:
        return None
    if OPEN not in ground_truth:
        return 0.0
    text = assistant_text(response)
    if OPEN not in text or CLOSE not in text:
        return LOWEST
    try:
        return _strict_score(expected, _first_block(text))
    except Exception:  # as upstream: anything that is wrong with the answer's calls, or the comparison
        return LOWEST


@lru_cache(maxsize=1024)
def _strict_ground_truth(ground_truth: str) -> list[Any] | None:
    """Its calls, [] if it has none, None if they cannot be read."""
    try:
        return _first_block(ground_truth) if OPEN in ground_truth else []
    except (ValueError, RecursionError):
        return None


def _first_block(text: str) -> list[Any]:
    block = text.split(OPEN, 2)[1].partition(CLOSE)[0]
    return [json.loads(line) for line in block.strip().split("\n")]


def _strict_score(expected: list[Any], given: list[Any]) -> float:
    if expected == given:
        return HIGHEST
    score, best = _jaccard([call["name"] for call in expected], [call["name"] for call in given]), 1.0
    used: set[int] = set()
    for call in expected:
        name, parameters = call["name"], call["parameters"]
        best += 1.0 + len(parameters)
        match, match_score = None, 0.0
        for index, candidate in enumerate(given):
            if index in used or candidate["name"] != name:
                continue
            theirs = candidate["parameters"]
            agreement = _jaccard(list(parameters.keys()), list(theirs.keys()))
            agreement += sum(1.0 for k, v in parameters.items() if k in theirs and theirs[k] == v)
            if agreement > match_score:
                match, match_score = index, agreement
        if match is not None:
            used.add(match)
            score += match_score
    return (HIGHEST - LOWEST) * score / best + LOWEST


def _jaccard(left: list[Any], right: list[Any]) -> float:
    """Jaccard index of two multisets; 1 if both are empty."""
    if left == right:
        return 1.0
    if not left or not right:
        return 0.0
    left_count, right_count = Counter(left), Counter(right)
    shared = sum(min(left_count[key], right_count[key]) for key in left_count.keys() & right_count.keys())
    return shared / (len(left) + len(right) - shared)

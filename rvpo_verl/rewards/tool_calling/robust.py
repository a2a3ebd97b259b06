"""The tolerant scoring of tool calls; see the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scipy.optimize import linear_sum_assignment

from rvpo_verl.rewards.tool_calling.parser import (
    CLOSE,
    HIGHEST,
    LOWEST,
    OPEN,
    Call,
    UnparsableError,
    assistant_text,
    parse_calls,
    same,
    split_thought,
)

# An answer with more calls than that beyond the ground truth's gets LOWEST unread, so that matching is cheap.
MAX_EXTRA_CALLS = 64


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


def format(turns: Sequence[str], ground_truth: str) -> float | None:
    truth = _read_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if truth is None:
        return None
    if len(turns) == 1:
        return float(_consists_of(turns[0], truth.has_call, truth.has_response))
    parts = []
    for text in turns:
        rest = split_thought(assistant_text(text))[1]
        has_call = OPEN in rest
        has_response = "<response>" in rest.rpartition(CLOSE)[2]
        if not (has_call or has_response) or not _consists_of(text, has_call, has_response):
            return 0.0
        parts.append((has_call, has_response))
    calls, responds = any(call for call, _ in parts), any(response for _, response in parts)
    return float(calls == truth.has_call and responds >= truth.has_response)


def _consists_of(text: str, has_call: bool, has_response: bool) -> bool:
    """Whether a turn is a thought, then the parts that it should have, and nothing else."""
    thought, rest = split_thought(assistant_text(text))
    if thought is None or not thought.startswith("<think>"):
        return False
    if rest.count(OPEN) != has_call or rest.count(CLOSE) != has_call:
        return False
    if has_call:
        before, _, rest = rest.partition(OPEN)
        _, closed, rest = rest.partition(CLOSE)
        if before.strip() or not closed:
            return False
    rest = rest.strip()
    if not has_response:
        return not rest
    once = rest.count("<response>") == rest.count("</response>") == 1
    return once and rest.startswith("<response>") and rest.endswith("</response>")


def correctness(turns: Sequence[str], ground_truth: str) -> float | None:
    truth = _read_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if truth is None or (truth.has_call and truth.calls is None):
        return None
    answers = [split_thought(assistant_text(text))[1].strip() for text in turns]
    if not truth.has_call:
        return LOWEST if any(OPEN in answer for answer in answers) else HIGHEST
    if answers == [truth.answer]:
        return HIGHEST
    limit = truth.count + MAX_EXTRA_CALLS
    given: list[Call] = []
    try:
        for answer in answers:
            given += parse_calls(answer, limit=limit - len(given))
        score = _similarity(truth, given)
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
    """Largest sum of `gains[row][column]` with each row and each column taken at most once."""
    if len(gains) == 1:
        return max(gains[0])
    rows, columns = linear_sum_assignment(gains, maximize=True)
    return sum(gains[row][column] for row, column in zip(rows, columns, strict=True))

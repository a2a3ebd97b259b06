"""The tolerant scoring of tool calls; see the package."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

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
    says_something,
    split_thought,
)

# An answer with more calls than that beyond the ground truth's gets LOWEST unread, so that matching is cheap.
MAX_EXTRA_CALLS = 64
MAX_CACHED = 2000
"""Characters of an answer whose score is kept for the others of its group."""
_LONG_INTEGER = re.compile(r"\d{19}")

Parts = tuple[bool, bool]
"""Whether there is a call, and whether there is a response."""


@dataclass(frozen=True)
class GroundTruth:
    answer: str
    """All but the thought, stripped."""
    parts: Parts
    says_something: bool
    calls: dict[str, list[dict[str, Any]]]
    """Parameters of the calls, by name; empty if there are none, or they cannot be read."""
    count: int
    """Number of calls."""
    best: float
    """S_max."""
    exact: bool
    """Whether it has an integer that may be longer than 64 bits, so that answers must be read exactly."""


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
    exact = _LONG_INTEGER.search(answer) is not None
    try:
        calls = parse_calls(answer, exact=exact)
    except UnparsableError:
        calls = []
    best = 1.0 + sum(1.0 + len(parameters) for _, parameters in calls)
    parts, says = (has_call, has_response), says_something(answer)
    return GroundTruth(answer.strip(), parts, says, _by_name(calls), len(calls), best, exact)


@lru_cache(maxsize=64)  # both rewards read the same response
def _read(response: str) -> tuple[str, Parts | None]:
    """The answer without its thought, and its parts; None if it does not keep the format."""
    thought, answer = split_thought(assistant_text(response))
    answer = answer.strip()
    return answer, _parts(answer) if thought is not None and thought.startswith("<think>") else None


def _parts(rest: str) -> Parts | None:
    if rest.startswith(OPEN) and rest.endswith(CLOSE) and rest.count(OPEN) == rest.count(CLOSE) == 1:
        return True, False
    has_call = OPEN in rest
    if rest.count(OPEN) != has_call or rest.count(CLOSE) != has_call:
        return None
    if has_call:
        before, _, rest = rest.partition(OPEN)
        _, closed, rest = rest.partition(CLOSE)
        if before or not closed:
            return None
        rest = rest.strip()
    if not rest:
        return has_call, False
    once = rest.count("<response>") == rest.count("</response>") == 1
    return (
        (has_call, True) if once and rest.startswith("<response>") and rest.endswith("</response>") else None
    )


def format(turns: Sequence[str], ground_truth: str) -> float | None:
    truth = _read_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if truth is None:
        return None
    if len(turns) == 1:
        return 1.0 if _read(turns[0])[1] == truth.parts else 0.0
    read = [_read(text)[1] for text in turns]
    parts = [each for each in read if each is not None and any(each)]
    if len(parts) < len(read):
        return 0.0
    calls, responds = any(call for call, _ in parts), any(response for _, response in parts)
    return float(calls == truth.parts[0] and responds >= truth.parts[1])


def correctness(turns: Sequence[str], ground_truth: str) -> float | None:
    truth = _read_ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if truth is None or (truth.parts[0] and not truth.calls):
        return None
    answers = tuple([_read(text)[0] for text in turns])
    if not truth.parts[0]:
        silent = truth.says_something and not (answers and says_something(answers[-1]))
        return LOWEST if silent or any(OPEN in answer for answer in answers) else HIGHEST
    if answers == (truth.answer,):
        return HIGHEST
    return (_score if sum(map(len, answers)) > MAX_CACHED else _cached_score)(answers, ground_truth)


def _score(answers: tuple[str, ...], ground_truth: str) -> float:
    truth = cast(GroundTruth, _read_ground_truth(ground_truth))  # `correctness` has read it
    given: list[Call] = []
    try:
        for answer in answers:
            limit = truth.count + MAX_EXTRA_CALLS - len(given)
            given += parse_calls(answer, limit=limit, exact=truth.exact)
        score = _similarity(truth, given)
    except (UnparsableError, RecursionError):
        return LOWEST
    return (HIGHEST - LOWEST) * score / truth.best + LOWEST


_cached_score = lru_cache(maxsize=1024)(_score)


def _similarity(truth: GroundTruth, given: Sequence[Call]) -> float:
    """S, with the matching that makes it largest, times n/m for m calls where n are right, if m > n.

    Why more calls than needed never pay: let k < m, and let no ground truth that is thought possible have more than
    k calls. Draw k of the m calls at random. Each pair of the best matching of all m is among them with probability
    k/m, and min(1, n/k) * k/m >= n/m; so the expected score of the draw is at least the score of all m, whichever
    ground truth is right. Hence the best k of the calls score at least as much under any belief.
    """
    count = len(given)
    if count == truth.count == 1:
        name, theirs = given[0]
        return 1.0 + _agreement(truth.calls[name][0], theirs) if name in truth.calls else 0.0
    candidates = _by_name(given)
    shared, matched = 0, 0.0
    for name, expected in truth.calls.items():
        named = candidates.get(name)
        if named is None:
            continue
        if len(expected) == len(named) == 1:
            shared += 1
            matched += _agreement(expected[0], named[0])
        else:
            shared += min(len(expected), len(named))
            matched += best_matching([[_agreement(each, other) for other in named] for each in expected])
    score = shared / (truth.count + count - shared) + matched
    return score if count <= truth.count else score * truth.count / count


def _agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """J(parameter names) + number of equal values, times n/m for m parameters where n are right, if m > n.

    More parameters than needed do not pay for the same reason as more calls.
    """
    shared = equal = 0
    for name, value in ours.items():
        if name in theirs:
            shared += 1
            equal += same(value, theirs[name])
    union = len(ours) + len(theirs) - shared
    score = (shared / union if union else 1.0) + equal
    return score if len(theirs) <= len(ours) else score * len(ours) / len(theirs)


def _by_name(calls: Sequence[Call]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, parameters in calls:
        if name in groups:
            groups[name].append(parameters)
        else:
            groups[name] = [parameters]
    return groups


def best_matching(gains: list[list[float]]) -> float:
    """Largest sum of `gains[row][column]` with each row and each column taken at most once."""
    taken: set[int] = set()
    for row in gains:
        best = max(row)
        column = next((j for j, gain in enumerate(row) if gain == best and j not in taken), None)
        if column is None:  # two rows want the same one
            rows, columns = linear_sum_assignment(gains, maximize=True)
            largest: float = sum(gains[row][column] for row, column in zip(rows, columns, strict=True))
            return largest
        taken.add(column)
    return sum(map(max, gains))

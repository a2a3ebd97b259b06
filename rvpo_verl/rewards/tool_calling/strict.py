"""The scoring of verl's `utils/reward_score/rlla.py`, bit for bit, for ChatML models.

Not by verl's own functions: their regular expressions backtrack over untrusted text, a ground truth that cannot
be read raises, and scoring also runs where verl is not installed.

The order of operations is upstream's throughout: what raises first decides the score of malformed calls.
"""

import json
from collections import Counter
from functools import lru_cache
from typing import Any

from rvpo_verl.rewards.tool_calling.parser import CLOSE, HIGHEST, LOWEST, OPEN, assistant_text


def format(response: str, ground_truth: str) -> float | None:
    if not isinstance(ground_truth, str) or _ground_truth(ground_truth) is None:
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


def correctness(response: str, ground_truth: str) -> float | None:
    expected = _ground_truth(ground_truth) if isinstance(ground_truth, str) else None
    if expected is None:
        return None
    if OPEN not in ground_truth:
        return 0.0
    text = assistant_text(response)
    if OPEN not in text or CLOSE not in text:
        return LOWEST
    try:
        return _score(expected, _first_block(text))
    except Exception:  # as upstream: anything that is wrong with the answer's calls, or the comparison
        return LOWEST


@lru_cache(maxsize=1024)
def _ground_truth(ground_truth: str) -> list[Any] | None:
    """Its calls, [] if it has none, None if they cannot be read."""
    try:
        return _first_block(ground_truth) if OPEN in ground_truth else []
    except (ValueError, RecursionError):
        return None


def _first_block(text: str) -> list[Any]:
    block = text.split(OPEN, 2)[1].partition(CLOSE)[0]
    return [json.loads(line) for line in block.strip().split("\n")]


def _score(expected: list[Any], given: list[Any]) -> float:
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

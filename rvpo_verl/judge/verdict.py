"""What the judge may write, and how it is parsed.

Only the judge's own message is parsed, so that verdicts in the judged response never count. If the judge writes
several objects, possibly quoting one of the response, they count only if they agree.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rvpo_verl.rubric import Criterion

_decode = json.JSONDecoder(strict=False).raw_decode
_WORDS = dict.fromkeys(("true", "yes", "met", "1"), True) | dict.fromkeys(
    ("false", "no", "not met", "0"), False
)
_MAX_OBJECTS = 100


class MalformedError(Exception):
    """The judge wrote something that contains no verdict."""


FORMS = ("schema", "object", "json", "text")
"""How the form of verdicts is requested, best first: a JSON schema, a JSON object with a schema beside it (older
servers of llama.cpp), any JSON object, or in the prompt only."""


def response_format(criteria: Mapping[str, Criterion], form: str, *, explain: bool = False) -> dict[str, Any]:
    """The field `response_format` of a request in one of `FORMS`: an object with exactly one verdict per key.

    An object with fixed keys, because OpenAI's strict mode refuses an array with `prefixItems`.

    Args:
        explain: whether each verdict follows its explanation, so that what the judge writes first is no
            justification of a verdict that it has given already.
    """
    if form == "text":
        return {}
    if form == "json":
        return {"response_format": {"type": "json_object"}}
    schema = _object({key: _schema(criterion, explain) for key, criterion in criteria.items()})
    if form == "object":
        return {"response_format": {"type": "json_object", "schema": schema}}
    named = {"name": "verdicts", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _schema(criterion: Criterion, explain: bool) -> dict[str, Any]:
    verdict: dict[str, Any] = {"type": "boolean"}
    if criterion.levels > 1:
        verdict = {"type": "integer", "enum": list(range(criterion.levels + 1))}
    return _object({"explanation": {"type": "string"}, "verdict": verdict}) if explain else verdict


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_explanations(text: str, criteria: Mapping[str, Criterion]) -> dict[str, str]:
    """What the judge wrote before its verdicts, by key."""
    found = {}
    for value in _values(text):
        for key in criteria:
            given = value.get(key) if isinstance(value, dict) else None
            if isinstance(given, dict) and isinstance(given.get("explanation"), str):
                found[key] = given["explanation"]
    return found


def read_verdicts(text: str, criteria: Mapping[str, Criterion]) -> dict[str, float]:
    """How far each criterion is true, from 0 to 1, for the criteria that `text` has a verdict on.

    Raises:
        MalformedError: `text` has no verdict, or contradictory ones.
    """
    found: dict[str, float] = {}
    for value in _values(text):
        for key, truth in _verdicts(value, criteria).items():
            if found.setdefault(key, truth) != truth:
                raise MalformedError(f"contradictory verdicts on one criterion in {_excerpt(text)}")
    if not found:
        raise MalformedError(f"no verdict in {_excerpt(text)}")
    return found


_REASONING_START = re.compile(r"<(?:think|thinking|thought|reasoning)>")
_REASONING_END = re.compile(r"</(?:think|thinking|thought|reasoning)>")


def _values(text: str) -> Iterator[Any]:
    """The JSON objects in a text, or the single word that it consists of. Reasoning counts for nothing."""
    text = _REASONING_END.split(text)[-1].strip()
    if _REASONING_START.search(text):  # not closed, so not finished
        return
    word = text.strip("`*\"'. \n").lower()
    if word in _WORDS or word.isdigit():
        yield word
        return
    start = text.find("{")
    for _ in range(_MAX_OBJECTS):
        if start < 0:
            return
        try:
            value, end = _decode(text, start)
            yield value
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


def _verdicts(value: Any, criteria: Mapping[str, Criterion]) -> dict[str, float]:
    if len(criteria) == 1:
        (key,) = criteria
        if not isinstance(value, dict):
            value = {key: value}
        elif key not in value:
            # What judges without a schema write for a single criterion.
            aliases = [name for name in ("verdict", "criteria_met", "met", "grade", "score") if name in value]
            value = {key: value[aliases[0]]} if aliases else {}
    if not isinstance(value, dict):
        return {}
    truths = {key: _truth(value[key], criterion) for key, criterion in criteria.items() if key in value}
    return {key: truth for key, truth in truths.items() if truth is not None}


def _truth(value: Any, criterion: Criterion) -> float | None:
    if isinstance(value, dict) and "verdict" in value:
        value = value["verdict"]
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value) if criterion.levels == 1 else value.strip()
    if criterion.levels == 1:
        return float(value) if value in (True, False) and not isinstance(value, str) else None
    try:
        grade = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        return None
    return grade / criterion.levels if grade in range(criterion.levels + 1) else None


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]} ...")

"""Reads an answer of the form `<think>…</think> <tool_call>…</tool_call> <response>…</response>`.

It accepts the calls that a tolerant client would, at a cost linear in the length of the text, and raises on
no string. What the model *thinks* about calling a tool is no call: everything up to the first `</think>` is
thought (the opening tag may have been part of the prompt), and so is a `<think>` that is never closed.
"""

import json
import re
from collections.abc import Callable
from string import ascii_letters
from typing import Any, cast

import orjson

OPEN, CLOSE = "<tool_call>", "</tool_call>"
LOWEST, HIGHEST = -3.0, 3.0
"""Range of the correctness."""
FENCE = "```"
# Beyond any call. A text of nothing but lists costs more than its length: while Python builds hundreds of
# thousands of them, its garbage collector goes through the memory of the whole process again and again.
MAX_BRACKETS = 10_000

Call = tuple[str, dict[str, Any]]
"""Name and parameters."""

# Line breaks inside of strings are common in generated JSON, so not strict. NaN becomes a string, because
# it would not equal itself.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(strict=False, parse_constant=str).scan_once  # type: ignore[attr-defined]  # the only reader of a value inside of a text, which is not documented
_gap = cast("Callable[..., re.Match[str]]", re.compile(r"[\s,]*").match)  # matches everywhere
PYTHONS_CONSTANTS = {"True": True, "False": False, "None": None}
_tags_and_letters = re.compile(r"</?(?:think|tool_call|response)>|[^\W_]").finditer


class UnparsableError(ValueError):
    """Not JSON, or not a tool call."""


def assistant_text(response: str) -> str:
    """The last turn of the assistant, without the chat template's markers (ChatML), stripped."""
    if "<|im_" in response:
        response = response.rpartition("<|im_start|>assistant")[2].partition("<|im_end|>")[0]
    return response.strip()


def split_thought(text: str) -> tuple[str | None, str]:
    """What comes before the first `</think>`, None if there is none; and the rest of the text."""
    thought, closed, rest = text.partition("</think>")
    if closed:
        return thought, rest
    return None, "" if text.startswith("<think>") else text


def says_something(answer: str) -> bool:
    """Whether an answer without its thought has a letter or a digit outside of tags, and of further thoughts."""
    if "think>" in answer:
        answer = answer.rpartition("</think>")[2].partition("<think>")[0]
    return any(len(found[0]) == 1 for found in _tags_and_letters(answer))


def parse_calls(text: str, limit: int | None = None, *, exact: bool = True) -> list[Call]:
    """The calls of all `<tool_call>` blocks of `text` (an answer without its thought), in order.

    A block holds JSON objects one after the other, on one line or many, with blank lines or commas between
    them, or a JSON list of them, bare or in a code fence; `parse_call` says what an object may look like.
    Half-parsed calls are not returned: one bad block, or one that is not closed, spoils the answer.

    Args:
        exact: False reads integers of more than 64 bits as floats, which is several times faster.

    Raises:
        UnparsableError: as above, or more than `limit` calls or blocks, or `MAX_BRACKETS` in a block.
    """
    calls: list[Call] = []
    blocks = 0
    start = text.find(OPEN)
    while start >= 0:
        end = text.find(CLOSE, start)
        blocks += 1
        if end < 0 or (limit is not None and blocks > limit):
            raise UnparsableError(f"block {blocks} is not closed, or one of more than {limit}")
        block = text[start + len(OPEN) : end].strip()
        fast = not exact and len(block) <= MAX_BRACKETS
        found: list[Any] = [*map(_published_form, block.split("\n"))] if fast else [None]
        if None in found:
            values = _block_values(block, None if limit is None else limit - len(calls))
            found = list(map(parse_call, values))
        calls += found
        if limit is not None and len(calls) > limit:
            raise UnparsableError("too many calls")
        start = text.find(OPEN, end)
    return calls


def parse_call(value: Any) -> Call:
    """A call from `{"name": …, "parameters": {…}}`.

    `arguments` does for `parameters`, a string of JSON for the object, and nothing (or null) for no
    parameters; OpenAI's `{"type": "function", "function": {…}}` is unwrapped. Other keys are ignored.

    Raises:
        UnparsableError: `value` is something else.
    """
    if type(value) is dict and "name" not in value:
        value = value.get("function")
    if type(value) is not dict or type(value.get("name")) is not str:
        raise UnparsableError("a call must be an object with a name")
    parameters = value["parameters"] if "parameters" in value else value.get("arguments")
    if type(parameters) is str:
        parameters = read_json(parameters) if parameters.strip() else {}
    if parameters is None:
        parameters = {}
    if type(parameters) is not dict:
        raise UnparsableError("the parameters of a call must be an object")
    return value["name"].strip(), parameters


def read_json(text: str) -> Any:
    """The one JSON value that `text` holds.

    Raises:
        UnparsableError: there is none, or more than that; nesting or an integer beyond Python's limits; more
            than `MAX_BRACKETS`.
    """
    text = text.strip()
    _refuse_many_brackets(text)
    value, end = _read_json_at(text, 0)
    if end != len(text):
        raise UnparsableError(f"text after the JSON value, at {end}")
    return value


def same(expected: Any, given: Any) -> bool:
    """Whether two JSON values mean the same.

    Strings are compared without surrounding whitespace. A string against anything else is read as JSON, or as
    Python's True, False or None: "1" is 1, "true" and "True" are true, but the strings "1.0" and "1" (two
    versions of a program) are not the same. 1.0 is 1; true is not 1. Lists and objects are compared item by
    item, by the same rules.

    Raises:
        RecursionError: nesting of some hundred levels or more.
    """
    if (kind := type(expected)) is type(given):
        if kind is str:
            equal: bool = expected == given or expected.strip() == given.strip()
            return equal
        if kind is dict:
            return expected.keys() == given.keys() and all(same(v, given[k]) for k, v in expected.items())
        if kind is list:
            return len(expected) == len(given) and all(map(same, expected, given))
        return bool(expected == given)
    if type(expected) is str or type(given) is str:
        try:
            if type(expected) is str:
                expected = _read_constant_or_json(expected)
            else:
                given = _read_constant_or_json(given)
        except UnparsableError:
            return False
        # A string in a string: had it been meant as JSON, it would have been quoted once.
        return not (type(expected) is str or type(given) is str) and same(expected, given)
    # In Python True == 1.
    return type(expected) is not bool and type(given) is not bool and expected == given


def _read_constant_or_json(text: str) -> Any:
    text = text.strip()
    return PYTHONS_CONSTANTS[text] if text in PYTHONS_CONSTANTS else read_json(text)


def _published_form(line: str) -> Call | None:
    """A call of the form `{"name": …, "parameters": {…}}`; None if it has another."""
    try:
        value = orjson.loads(line)
        name, parameters = value["name"], value["parameters"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return (name.strip(), parameters) if type(name) is str and type(parameters) is dict else None


def _block_values(block: str, limit: int | None) -> list[Any]:
    """The JSON values of a block, a list counted as its items."""
    if block.startswith(FENCE) and block.endswith(FENCE) and len(block) >= 2 * len(FENCE):
        # What is left of "```json" is the name of the language.
        block = block[len(FENCE) : -len(FENCE)].lstrip(ascii_letters)
    _refuse_many_brackets(block)
    values: list[Any] = []
    index = _gap(block).end()
    while index < len(block):
        value, index = _read_json_at(block, index)
        if type(value) is list:
            values += value
        else:
            values.append(value)
        if limit is not None and len(values) > limit:
            raise UnparsableError("too many calls")
        index = _gap(block, index).end()
    return values


def _refuse_many_brackets(text: str) -> None:
    if len(text) > MAX_BRACKETS and text.count("[") + text.count("{") > MAX_BRACKETS:
        raise UnparsableError(f"more than {MAX_BRACKETS} brackets")


def _read_json_at(text: str, index: int) -> tuple[Any, int]:
    try:
        return _scan(text, index)
    except (StopIteration, ValueError, RecursionError) as error:
        # ValueError: bad JSON, or an integer of more digits than Python converts.
        raise UnparsableError(f"no JSON value at {index}: {error!r}") from None

"""Rows as people publish rubrics, brought into one of the two schemas that are read: RaR's or HealthBench's.

Rubrics are found as `rubrics`, `rubric`, `criteria` or `rubric_list`, in the row, in `reward_model` or in `extra_info`;
as objects, as plain texts, or as JSON in a text column. Prompts are messages or a text. A criterion's number may be
called points, weight or score, and its tags be a list or an object. For any other row there is `Mapping`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rvpo_verl.data.categories import IMPORTANCE
from rvpo_verl.data.options import Shape
from rvpo_verl.errors import UserError

RUBRICS = ("rubrics", "Rubrics", "rubric", "criteria", "rubric_list")
PLACES = (("reward_model",), ("extra_info",), ("extra_info", "reward_model"), ())
PROMPTS = ("prompt", "messages", "question", "instruction", "query", "problem", "input")
REFERENCES = ("reference_answer", "reference", "answer", "ideal_completion", "response")
IDS = ("prompt_id", "id", "uuid", "key")
TEXTS = ("criterion", "description", "text", "requirement", "rubric")
NUMBERS = ("points", "weight", "score")
TARGETS = ("prompt", "criterion", "weight", "category", "title", "reference", "id")
"""What `--map` may name."""

_NESTED = {*RUBRICS, "reward_model", "extra_info", "prompt", "messages", "tags"}
"""Columns whose text may be JSON."""


def shape_of(row: Any) -> Shape:
    """RaR's schema for criteria with a description or as plain texts, HealthBench's for those with points."""
    items = _items(_with_json_read(row)) if isinstance(row, dict) else None
    first = items[0] if items else None
    plain = isinstance(first, str)
    return Shape.rar if plain or (isinstance(first, dict) and "description" in first) else Shape.healthbench


def is_healthbench(row: Any) -> bool:
    """By what only the benchmark's own rows have."""
    return isinstance(row, dict) and ("canary" in row or "example_tags" in row)


def in_shape(row: Any, shape: Shape) -> Any:
    """The row in a schema; as it is where it has no rubric, so that its reader says what is missing."""
    if not isinstance(row, dict):
        return row
    row = _with_json_read(row)
    items = _items(row)
    return row if items is None else _written(row, items, shape)


def read_json_texts(row: Any) -> Any:
    """The row with columns of JSON read, and a prompt of plain text as a message."""
    if not isinstance(row, dict):
        return row
    row = _with_json_read(row)
    if isinstance(row.get("prompt"), str):
        row["prompt"] = _messages(row["prompt"])
    return row


def parse_map(written: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """
    Args:
        written: such as `["criterion=rubrics.text,weight=rubrics.importance"]`.

    Raises:
        UserError: not of this form.
    """
    paths = {}
    for one in ",".join(written).split(","):
        target, _, path = (part.strip() for part in one.partition("="))
        if target not in TARGETS or not all(path.split(".")):
            raise UserError(
                f"--map {one!r}: expected NAME=COLUMN or NAME=COLUMN.FIELD, with NAME one of {', '.join(TARGETS)}"
            )
        paths[target] = tuple(path.split("."))
    if "criterion" not in paths:
        raise UserError("--map: criterion=COLUMN.FIELD is needed, where the texts of the criteria are")
    return paths


def mapped(row: Any, paths: Mapping[str, tuple[str, ...]], shape: Shape, where: str) -> Any:
    """The row in a schema, by `parse_map`. A path through a list goes on in each of its items.

    Raises:
        UserError: the row has no such field, or as many weights as criteria are not there.
    """
    if not isinstance(row, dict):
        return row
    found = {target: _follow(row, path, where, target) for target, path in paths.items()}
    texts = found.pop("criterion")
    of_row = {target: found.pop(target) for target in ("prompt", "reference", "id") if target in found}
    items = []
    for text, more in _merged(texts if isinstance(texts, list) else [texts], found, where):
        item = {"criterion": text, "title": str(more.get("title") or "")}
        if "weight" in more:
            item["points"] = _number(more["weight"], where)
        if more.get("category"):
            item["category"] = str(more["category"])
        items.append(item)
    named = {**row, **{name: value for name, value in of_row.items() if name != "reference"}}
    if "reference" in of_row:
        named["reference_answer"] = of_row["reference"]
    return _written(named, items, shape)


def _follow(value: Any, path: tuple[str, ...], where: str, target: str) -> Any:
    value = _read_json(value)
    if isinstance(value, list) and path:
        return [_follow(item, path, where, target) for item in value]
    if not path:
        return value
    if not isinstance(value, dict) or path[0] not in value:
        there = ", ".join(map(str, value)) if isinstance(value, dict) else repr(value)[:80]
        raise UserError(f"{where}: --map {target}: no field {path[0]!r}; found {there}")
    return _follow(value[path[0]], path[1:], where, target)


def _merged(
    texts: Sequence[Any], found: Mapping[str, Any], where: str
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each criterion with what belongs to it; a single value belongs to all below it."""
    for name, values in found.items():
        if isinstance(values, list) and len(values) != len(texts):
            raise UserError(f"{where}: --map {name}: {len(values)} values for {len(texts)} criteria")
    for position, text in enumerate(texts):
        own = {name: v[position] if isinstance(v, list) else v for name, v in found.items()}
        if isinstance(text, list):
            yield from _merged(text, own, where)
        else:
            yield text, own


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(
            f"{where}: --map weight: {value!r} is no number; leave weight out, and name such words with category="
        ) from None


def _written(row: Mapping[str, Any], items: Sequence[Any], shape: Shape) -> dict[str, Any]:
    messages = next((_messages(row[name]) for name in PROMPTS if row.get(name)), None)
    texts = [text for each in (row, row.get("reward_model")) for text in _references(each)]
    numbered = any(isinstance(item, dict) and _first(item, NUMBERS) is not None for item in items)
    common = {
        "reference_answer": next(iter(texts), ""),
        "prompt_id": next((str(row[name]) for name in IDS if row.get(name) is not None), ""),
    }
    if shape is Shape.healthbench:
        criteria = [_with_points(item, numbered) for item in items]
        return common | {"prompt": messages, "rubrics": criteria}
    questions = [message["content"] for message in messages or () if isinstance(message, dict)]
    return common | {
        "prompt": messages,
        "question": questions[-1] if questions else None,
        "question_source": row.get("question_source"),
        "rubric_count": row.get("rubric_count"),
        "rubric": [_with_description(item) for item in items],
    }


def _with_points(item: Any, numbered: bool) -> Any:
    """A criterion of HealthBench's schema. Where no criterion of a row has a number, each counts 1."""
    if isinstance(item, str):
        item = {"criterion": item}
    if not isinstance(item, dict):
        return item
    points = _first(item, NUMBERS)
    tags = item.get("tags") or []
    if isinstance(tags, dict):
        tags = [f"{name}:{value}" for name, value in tags.items() if isinstance(value, str | int | float)]
    if category := item.get("category"):
        tags = [f"axis:{category}", *tags]
    return {
        "criterion": _first(item, TEXTS),
        "points": _as_number(points) if numbered else 1.0,
        "tags": tags,
        "title": item.get("title"),
    }


def _with_description(item: Any) -> Any:
    """A criterion of RaR's schema, whose category is the beginning of its text."""
    if isinstance(item, str):
        return {"description": item}
    if not isinstance(item, dict):
        return item
    text, category = _first(item, TEXTS), str(item.get("category", ""))
    if isinstance(text, str) and category.lower() in IMPORTANCE:
        text = f"{category.title()} Criteria: {text}"
    kept = {name: item[name] for name in ("title", "polarity") if name in item}
    return {"description": text, "weight": _as_number(_first(item, ("weight", "points", "score"))), **kept}


def _references(given: Any) -> Iterator[str]:
    if isinstance(given, dict):
        for name in (*REFERENCES, "ground_truth"):
            if isinstance(given.get(name), str) and given[name]:
                yield given[name]


def _items(row: Mapping[str, Any]) -> list[Any] | None:
    """The row's criteria, objects before plain texts; None if it has none."""
    found = []
    for place in PLACES:
        given: Any = row
        for name in place:
            given = given.get(name) if isinstance(given, dict) else None
        if isinstance(given, dict):
            found += [given[name] for name in RUBRICS if isinstance(given.get(name), list) and given[name]]
    return next((items for items in found if isinstance(items[0], dict)), found[0] if found else None)


def _messages(prompt: Any) -> Any:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _with_json_read(row: Mapping[str, Any]) -> dict[str, Any]:
    read = {}
    for name, value in row.items():
        value = _read_json(value) if name in _NESTED else value
        if isinstance(value, dict) and name in ("reward_model", "extra_info"):
            value = _with_json_read(value)
        read[name] = value
    return read


def _read_json(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _first(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((item[name] for name in names if item.get(name) is not None), None)


def _as_number(value: Any) -> Any:
    """Text of a number as one; anything else as it is, for the schema to complain about."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value

"""The constraints of a row, in each of the forms in which rows of verifiable instructions are published."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rvpo_verl.errors import UserError

SHAPE = (
    "extra_info={instruction_id_list: [KIND, ...], kwargs: [{...} or null, ...]} as in IFEval and IFBench, each "
    "of the kwargs also as JSON, or a "
    "ground truth with [{'instruction_id': [...], 'kwargs': [...]}] as in IF_multi_constraints_upto5, or with "
    "{'func_name': ...} as in RLVR-IFeval"
)


@dataclass(frozen=True)
class Constraint:
    """What a row asks of the answers to its prompt, in a form that a program can check."""

    kind: str
    """Of IFEval or IFBench, such as `keywords:existence`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the kind's checker, without those that are null."""


def read_constraints(extra_info: Mapping[str, Any], ground_truth: Any = None) -> list[Constraint]:
    """The constraints of a row, in its order. A kind may occur more than once.

    Raises:
        UserError: the row has none, or is in no known form.
    """
    if extra_info.get("instruction_id_list") is not None:
        return _paired(extra_info["instruction_id_list"], extra_info.get("kwargs"))
    truth = _parsed(ground_truth)
    if isinstance(truth, list) and len(truth) == 1:
        (truth,) = truth
    if isinstance(truth, Mapping):
        for name in ("instruction_id", "instruction_id_list"):
            if truth.get(name) is not None:
                return _paired(truth[name], truth.get("kwargs"))
        if truth.get("func_name"):
            return [_from_rlvr(truth)]
    raise UserError(f"the row has no constraints: found {ground_truth!r:.80}; accepted: {SHAPE}")


def _paired(kinds: Any, arguments: Any) -> list[Constraint]:
    kinds = [kinds] if isinstance(kinds, str) else _plain(kinds)
    arguments = [None] * len(kinds) if arguments is None else _plain(arguments)
    if isinstance(arguments, Mapping):
        arguments = [arguments]
    if not kinds or len(kinds) != len(arguments):
        raise UserError(
            f"{len(kinds)} kinds of constraint, {kinds!r:.80}, and {len(arguments)} kwargs; expected at least one "
            "kind, and as many kwargs"
        )
    arguments = [_parsed(each) if isinstance(each, str) else each for each in arguments]
    wrong = [each for each in arguments if not isinstance(each, Mapping | None)]
    if wrong:
        raise UserError(f"kwargs hold {wrong[0]!r:.80}; expected an object or null for each constraint")
    return [
        Constraint(str(kind), {name: value for name, value in (each or {}).items() if value is not None})
        for kind, each in zip(kinds, arguments, strict=True)
    ]


def _parsed(ground_truth: Any) -> Any:
    """What a string holds as JSON, or as a Python literal, which IF_multi_constraints_upto5 writes."""
    if not isinstance(ground_truth, str):
        return _plain(ground_truth)
    try:
        return _plain(json.loads(ground_truth))
    except ValueError:
        pass
    try:
        return _plain(ast.literal_eval(ground_truth))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """Python's own lists and numbers, as in JSON. Integers are integers again: tables store them as floats."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


_RLVR = {
    "verify_keywords": ("keywords:existence", {"keywords": "keyword_list"}),
    "verify_keyword_frequency": ("keywords:frequency", {"keyword": "word", "frequency": "N"}),
    "validate_forbidden_words": ("keywords:forbidden_words", {"forbidden_words": "forbidden_words"}),
    "verify_letter_frequency": ("keywords:letter_frequency", {"letter": "letter", "let_frequency": "N"}),
    "validate_response_language": ("language:response_language", {"language": "language"}),
    "verify_paragraph_count": ("length_constraints:number_paragraphs", {"num_paragraphs": "N"}),
    "validate_word_constraint": ("length_constraints:number_words", {"num_words": "N"}),
    "verify_sentence_constraint": ("length_constraints:number_sentences", {"num_sentences": "N"}),
    "validate_paragraphs": (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": "N", "nth_paragraph": "i", "first_word": "first_word"},
    ),
    "verify_postscript": ("detectable_content:postscript", {"postscript_marker": "postscript_marker"}),
    "validate_placeholders": ("detectable_content:number_placeholders", {"num_placeholders": "N"}),
    "verify_bullet_points": ("detectable_format:number_bullet_lists", {"num_bullets": "N"}),
    "validate_title": ("detectable_format:title", {}),
    "validate_choice": ("detectable_format:constrained_response", {"options": "options"}),
    "validate_highlighted_sections": (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": "N"},
    ),
    "validate_sections": (
        "detectable_format:multiple_sections",
        {"section_spliter": "section_splitter", "num_sections": "N"},
    ),
    "validate_json_format": ("detectable_format:json_format", {}),
    "validate_repeat_prompt": ("combination:repeat_prompt", {"prompt_to_repeat": "original_prompt"}),
    "validate_two_responses": ("combination:two_responses", {}),
    "validate_uppercase": ("change_case:english_capital", {}),
    "validate_lowercase": ("change_case:english_lowercase", {}),
    "validate_frequency_capital_words": ("change_case:capital_word_frequency", {"capital_frequency": "N"}),
    "validate_end": ("startend:end_checker", {"end_phrase": "end_phrase"}),
    "validate_quotation": ("startend:quotation", {}),
    "validate_no_commas": ("punctuation:no_comma", {}),
}
"""RLVR-IFeval's functions: IFEval's kind, and what each argument of it is called there."""

_RELATION = {
    "keywords:frequency": "relation",
    "keywords:letter_frequency": "let_relation",
    "length_constraints:number_words": "relation",
    "length_constraints:number_sentences": "relation",
    "change_case:capital_word_frequency": "capital_relation",
}


def _from_rlvr(truth: Mapping[str, Any]) -> Constraint:
    if truth["func_name"] not in _RLVR:
        raise UserError(f"func_name {truth['func_name']!r}; accepted: {', '.join(_RLVR)}")
    kind, names = _RLVR[truth["func_name"]]
    given = _plain(truth)
    arguments = {name: given[theirs] for name, theirs in names.items() if given.get(theirs) is not None}
    if kind in _RELATION:  # "the word X should appear N times" has no quantifier, and means exactly
        arguments[_RELATION[kind]] = given.get("quantifier") or "exactly"
    if kind == "length_constraints:number_paragraphs":
        arguments["divider"] = "* * *"
    return Constraint(kind, arguments)

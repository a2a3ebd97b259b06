"""Prompts with several verifiable constraints, drawn from tasks and from the checkers' own descriptions.

Everything is drawn from one seed, and each row from a seed of its own: the first rows of a longer file are
those of a shorter one.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rvpo_verl.data.instruction_tasks import TASKS
from rvpo_verl.errors import UserError
from rvpo_verl.rewards.instructions import Constraint
from rvpo_verl.rewards.instructions.library import checker

WORDS = (
    "river", "light", "garden", "window", "bread", "music", "stone", "paper", "winter", "yellow", "silver", "quiet",
    "market", "doctor", "travel", "kitchen", "bridge", "forest", "letter", "morning", "ocean", "pocket", "season",
    "table", "village", "wonder", "harbor", "candle", "engine", "mirror",
)  # fmt: skip
"""Keywords that an answer has to use."""
COMMON_WORDS = ("the", "and", "very", "is", "of", "with", "to", "in", "that", "it")
"""Words that are hard to avoid."""
END_PHRASES = ("That is all.", "Any other questions?", "The end.")

Draw = Callable[[random.Random, int], dict[str, Any]]
"""Arguments of a kind, from random numbers and the number of words of a usual answer."""


def _nothing(rng: random.Random, words: int) -> dict[str, Any]:
    return {}


DRAWS: dict[str, Draw] = {
    "keywords:existence": lambda rng, words: {"keywords": rng.sample(WORDS, 2)},
    "keywords:forbidden_words": lambda rng, words: {"forbidden_words": rng.sample(COMMON_WORDS, 2)},
    "keywords:frequency": lambda rng, words: {
        "keyword": rng.choice(WORDS), "frequency": rng.randint(2, 3), "relation": "at least",
    },
    "keywords:letter_frequency": lambda rng, words: {
        "letter": rng.choice("aeiou"), "let_frequency": max(1, words // 2), "let_relation": "less than",
    },
    "length_constraints:number_words": lambda rng, words: {
        "num_words": words * rng.choice((6, 8, 10)) // 10, "relation": "less than",
    },
    "length_constraints:number_sentences": lambda rng, words: {
        "num_sentences": max(2, words // rng.choice((10, 20))), "relation": rng.choice(("less than", "at least")),
    },
    "length_constraints:number_paragraphs": lambda rng, words: {"num_paragraphs": rng.randint(2, 3)},
    "detectable_content:number_placeholders": lambda rng, words: {"num_placeholders": rng.randint(1, 2)},
    "detectable_content:postscript": lambda rng, words: {"postscript_marker": rng.choice(("P.S.", "P.P.S"))},
    "detectable_format:number_bullet_lists": lambda rng, words: {"num_bullets": rng.randint(2, 3)},
    "detectable_format:number_highlighted_sections": lambda rng, words: {"num_highlights": rng.randint(1, 2)},
    "detectable_format:multiple_sections": lambda rng, words: {
        "section_spliter": rng.choice(("Section", "SECTION")), "num_sections": rng.randint(2, 3),
    },
    "detectable_format:title": _nothing,
    "detectable_format:json_format": _nothing,
    "combination:two_responses": _nothing,
    "startend:end_checker": lambda rng, words: {"end_phrase": rng.choice(END_PHRASES)},
    "startend:quotation": _nothing,
    "change_case:capital_word_frequency": lambda rng, words: {
        "capital_frequency": rng.randint(2, 3), "capital_relation": "at least",
    },
    "change_case:english_capital": _nothing,
    "change_case:english_lowercase": _nothing,
    "punctuation:no_comma": _nothing,
}  # fmt: skip
"""Kinds of IFEval that fit any task."""

SHORT_KINDS = (
    "keywords:existence",
    "keywords:forbidden_words",
    "keywords:frequency",
    "length_constraints:number_words",
    "detectable_content:number_placeholders",
    "detectable_content:postscript",
    "detectable_format:number_bullet_lists",
    "detectable_format:number_highlighted_sections",
    "detectable_format:title",
    "startend:end_checker",
    "startend:quotation",
    "change_case:capital_word_frequency",
    "change_case:english_lowercase",
    "punctuation:no_comma",
)
"""Kinds that an answer of 40 words can meet."""


@dataclass(frozen=True)
class Prompts:
    """What prompts are drawn from."""

    tasks: Sequence[str] = TASKS
    kinds: Sequence[str] = tuple(DRAWS)
    constraints: tuple[int, int] = (2, 5)
    """Fewest and most constraints of a prompt, all equally likely: how difficult it is."""
    words: int = 200
    """Of a usual answer; lengths to keep to are drawn around it."""
    with_one_of: Sequence[str] = ()
    """Kinds of which each prompt has at least one; they need not be in `kinds`."""

    def __post_init__(self) -> None:
        """
        Raises:
            UserError: nothing to draw from.
        """
        unknown = [kind for kind in (*self.kinds, *self.with_one_of) if kind not in DRAWS]
        if unknown:
            raise UserError(
                f"no constraints of the kind {unknown[0]!r} can be drawn; accepted: {', '.join(DRAWS)}"
            )
        if not self.tasks:
            raise UserError("there is no task to put constraints on")
        fewest, most = self.constraints
        if not 1 <= fewest <= most:
            raise UserError(f"constraints={fewest} to {most}; accepted: 1 or more, the smaller number first")


def draw_row(prompts: Prompts, seed: int, number: int) -> dict[str, Any]:
    """One row in IFEval's own fields, and the task.

    Raises:
        UserError: no constraints were found that do not contradict each other.
    """
    rng = random.Random(f"{seed}/{number}")
    task = rng.choice(prompts.tasks)
    for _ in range(1000):
        count = rng.randint(*prompts.constraints)
        kinds = [rng.choice(prompts.with_one_of)] if prompts.with_one_of else []
        others = [kind for kind in prompts.kinds if kind not in kinds]
        kinds += rng.sample(others, max(0, min(count - len(kinds), len(others))))
        rng.shuffle(kinds)
        if len(kinds) != count or _in_conflict(kinds):
            continue
        constraints = [Constraint(kind, DRAWS[kind](rng, prompts.words)) for kind in kinds]
        if not _contradict(constraints):
            break
    else:
        raise UserError(
            f"no {prompts.constraints[0]} to {prompts.constraints[1]} constraints that agree with each other were "
            f"found among {', '.join(prompts.kinds)}: ask for fewer constraints, or allow more kinds"
        )
    return {
        "key": f"{seed}/{number}",
        "prompt": " ".join([task, *map(_description, constraints)]),
        "instruction_id_list": [each.kind for each in constraints],
        "kwargs": [each.arguments for each in constraints],
        "task": task,
    }


def _description(constraint: Constraint) -> str:
    text: str = checker(constraint.kind, constraint.arguments).build_description(**constraint.arguments)
    return text


_LETTER_CASE = {"change_case:english_capital", "change_case:english_lowercase"}


def _in_conflict(kinds: Sequence[str]) -> bool:
    """By IFEval's own table, in both directions; and sections are marked with a word in a given case."""
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_CONFLICTS

    if "detectable_format:multiple_sections" in kinds and _LETTER_CASE & set(kinds):
        return True
    return any(
        other in INSTRUCTION_CONFLICTS.get(kind, ()) for kind in kinds for other in kinds if other != kind
    )


def _contradict(constraints: Sequence[Constraint]) -> bool:
    """Whether a word that one constraint forbids is asked for by another, which the table does not know."""
    by_kind: dict[str, Mapping[str, Any]] = {each.kind: each.arguments for each in constraints}
    forbidden = set(by_kind.get("keywords:forbidden_words", {}).get("forbidden_words", ()))
    asked = " ".join(
        str(value)
        for kind, arguments in by_kind.items()
        if kind != "keywords:forbidden_words"
        for value in arguments.values()
    )
    return bool(forbidden & set(re.findall(r"\w+", asked.lower())))

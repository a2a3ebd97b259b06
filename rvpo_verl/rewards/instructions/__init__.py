"""The reward `instructions`: each constraint of the row is a separate reward, checked by a program.

rows.py        the constraints of a row, in each published form
library.py     if-verifiable's checkers, with complete arguments only
checks.py      one check a constraint; corrections of the library's known defects
languages.py   which language an answer is in, without chance
resources.py   nltk's data
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, get_args

from rvpo_verl.errors import ConfigError, UserError
from rvpo_verl.rewards.instructions.checks import build
from rvpo_verl.rewards.instructions.library import Check
from rvpo_verl.rewards.instructions.resources import look_for_data
from rvpo_verl.rewards.instructions.rows import Constraint, read_constraints
from rvpo_verl.rewards.protocol import RunContext
from rvpo_verl.rewards.score import Score

__all__ = ["Constraint", "Instructions", "instructions", "read_constraints"]

Mode = Literal["strict", "loose"]
MAX_CHARACTERS = 20_000


class Instructions:
    """A score for each of the row's verifiable constraints, as in IFEval: 1 if the answer meets it, else 0."""

    def __call__(
        self,
        response: str,
        extra_info: Mapping[str, Any],
        ground_truth: Any = None,
        *,
        mode: Mode = "strict",
        cut_reasoning: bool = False,
        max_characters: int = MAX_CHARACTERS,
    ) -> dict[str, Score]:
        """Scores by `KIND/NUMBER`, in the row's order; the number counts from 1 over the row.

        An empty answer meets nothing, and neither does one of more than `max_characters`: some of the checkers'
        patterns take time in proportion to the square of the length, 0.7 s for 20,000 characters. A checker that
        raises leaves its score missing, with the exception as the cause.

        Args:
            mode: `loose` also accepts the answer without its first or last line, or without asterisks.
            cut_reasoning: check only what follows the first `</think>`. An answer that begins with `<think>` and
                never ends it is empty.
            max_characters: of the answer.

        Raises:
            UserError: the row has no constraints, or some that cannot be checked.
        """
        constraints = read_constraints(extra_info, ground_truth)
        checks = _checks(json.dumps([(each.kind, each.arguments) for each in constraints]))
        answer = _without_reasoning(response) if cut_reasoning else response
        empty = not answer.strip() or len(answer) > max_characters
        variants = [answer] if mode == "strict" else _loose(answer)
        return {
            f"{constraint.kind}/{number}": Score(0.0) if empty else _score(check, variants)
            for number, (constraint, check) in enumerate(zip(constraints, checks, strict=True), start=1)
        }

    def validate(self, kwargs: Mapping[str, Any], run: RunContext) -> None:
        """
        Raises:
            ConfigError: a mode that does not exist, or a limit that is no length.
        """
        if (mode := kwargs.get("mode", "strict")) not in get_args(Mode):
            raise ConfigError(f"kwargs.mode={mode!r}; accepted: {', '.join(get_args(Mode))}")
        limit = kwargs.get("max_characters", MAX_CHARACTERS)
        if type(limit) is not int or limit < 1:
            raise ConfigError(f"kwargs.max_characters={limit!r}; accepted: an integer of at least 1")

    def probe(self, kwargs: Mapping[str, Any], run: RunContext) -> list[str]:
        """Looks for the checkers and for the data that they read.

        Raises:
            ConfigError: they are not installed, or common kinds could not be checked.
        """
        return look_for_data()

    def required_columns(self, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """No more than `extra_info`: some published rows have the constraints in the ground truth."""
        return ("extra_info",)


instructions = Instructions()
"""The reward."""


@lru_cache(maxsize=4096)
def _checks(constraints: str) -> tuple[Check, ...]:
    """One check for each constraint of a prompt, which all answers to it share.

    Args:
        constraints: pairs of kind and arguments, as JSON.

    Raises:
        UserError: one that cannot be checked; with its number.
    """
    checks = []
    for number, (kind, arguments) in enumerate(json.loads(constraints), start=1):
        try:
            checks.append(build(Constraint(kind, arguments)))
        except ConfigError:
            raise
        except UserError as error:
            raise UserError(f"constraint {number}: {error}") from None
    return tuple(checks)


def _score(check: Check, variants: list[str]) -> Score:
    try:
        return Score(float(any(variant.strip() and check(variant) for variant in variants)))
    except Exception as error:
        return Score(None, failure=f"{type(error).__name__}: {' '.join(str(error).split())}")


def _loose(answer: str) -> list[str]:
    from if_verifiable.common import get_loose_transformations

    variants: list[str] = get_loose_transformations(answer)
    return variants


def _without_reasoning(response: str) -> str:
    before, end, after = response.partition("</think>")
    if end:
        return after.strip()
    return "" if before.lstrip().startswith("<think>") else response

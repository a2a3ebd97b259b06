"""RLLA (ToolRL, arXiv:2504.13958): reads tool-calling rows, and scores their ground truths with the rewards."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import Field

from rvpo_verl.data.duplicates import prompt_key
from rvpo_verl.data.findings import Findings
from rvpo_verl.data.offered_tools import not_offered
from rvpo_verl.data.rows import Row
from rvpo_verl.data.schema import FilledText, Message, Schema, Text, check
from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows
from rvpo_verl.rewards.tool_calling import Mode, tool_call_correctness, tool_call_format
from rvpo_verl.rewards.tool_calling.parser import HIGHEST, OPEN, UnparsableError, parse_calls, split_thought


class RewardModel(Schema):
    style: Text
    ground_truth: FilledText


class RllaRow(Schema):
    SHAPE: ClassVar[str] = (
        "RLLA's columns data_source, prompt=[{role, content}], ability, reward_model={style, ground_truth}, "
        "extra_info; or those of its raw files, instruction, input, output"
    )

    data_source: Text
    prompt: Annotated[list[Message], Field(min_length=1)]
    ability: Text
    reward_model: RewardModel
    extra_info: dict[str, Any]


class RawRllaRow(Schema):
    SHAPE: ClassVar[str] = RllaRow.SHAPE

    instruction: FilledText
    input: FilledText
    output: FilledText


def read_rlla(path: Path, split: str = "train") -> list[Row]:
    """The rows of a file in RLLA's schema. Raw rows (instruction, input, output) become rows of `split`.

    Raises:
        UserError: no such file, no rows, or one that does not fit; with its number and field.
    """
    return from_rows(read_rows(path), str(path), split)


def from_rows(given: Iterable[tuple[int, Any]], name: str, split: str = "train") -> list[Row]:
    """The same for numbered rows of a source called `name`."""
    rows = []
    for number, row in given:
        where = f"{name}, row {number}"
        if isinstance(row, dict) and "prompt" not in row and "instruction" in row:
            rows.append(_from_raw(check(RawRllaRow, row, where), split, number - 1))
        else:
            check(RllaRow, row, where)
            rows.append(row)
    if not rows:
        raise UserError(f"{name} has no rows")
    return rows


def _from_raw(raw: RawRllaRow, split: str, index: int) -> Row:
    return {
        "data_source": "rlla",
        "prompt": [{"role": "system", "content": raw.instruction}, {"role": "user", "content": raw.input}],
        "ability": "math",  # as in RLLA's training file
        "reward_model": {"style": "rule", "ground_truth": raw.output},
        "extra_info": {"split": split, "index": index, **raw.model_dump()},
    }


def ground_truth(row: Row) -> str:
    truth: str = row["reward_model"]["ground_truth"]
    return truth


@dataclass
class Checked:
    usable: list[Row]
    """Rows whose ground truth the rewards can read in the requested mode, and that were not dropped otherwise."""
    findings: Findings
    parts: dict[str, int]
    """Number of ground truths with a tool call, a response, both, or neither."""
    calls: dict[int, int]
    """Number of ground truths by their number of calls; unreadable ones are not counted."""
    unoffered: dict[int, list[str]]
    """By row number from 1: tools and parameters that the ground truth uses and the prompt does not offer."""


def check_rlla(rows: Sequence[Row], mode: Mode = "robust", drop_unoffered: bool = False) -> Checked:
    """Scores every ground truth against itself, and compares its calls with the tools that its prompt offers.

    A row whose ground truth a mode cannot read lacks a reward: it costs rollouts and gives less gradient, or none.
    """
    findings, usable, seen = Findings(), [], set()
    parts: Counter[str] = Counter()
    calls: Counter[int] = Counter()
    unoffered: dict[int, list[str]] = {}
    for number, row in enumerate(rows, start=1):
        truth, where = ground_truth(row), f"row {number}"
        correctness = {each: tool_call_correctness(truth, truth, mode=each) for each in get_args(Mode)}
        for each in (each for each, score in correctness.items() if score is None):
            alone = tool_call_format(truth, truth, mode=each) is not None
            missing = "tool_call_correctness is" if alone else "both rewards are"
            findings.add(
                f"unreadable_{each}{'_correctness' * alone}",
                where,
                truth,
                what=f"a ground truth that mode={each} cannot read: {missing} missing",
                handled="dropped" if each == mode else f"kept: mode={mode} decides",
            )
        answer = split_thought(truth)[1]
        try:
            called = parse_calls(answer)
        except UnparsableError:
            called = None
        if called is not None:
            calls[len(called)] += 1
            if foreign := not_offered(row, called):
                unoffered[number] = foreign
                handled = "dropped" if drop_unoffered else None
                findings.add("unoffered", where, ", ".join(foreign), handled=handled)
        score = correctness[mode]
        if score is not None and not (drop_unoffered and number in unoffered):
            usable.append(row)
            _add_imperfect(truth, score, where, mode, findings)
        has = [part for part, tag in (("tool call", OPEN), ("response", "<response>")) if tag in answer]
        parts[" and ".join(has) or "neither"] += 1
        if (key := prompt_key(row)) in seen:
            findings.add("prompt_repeated", where, row["prompt"][-1]["content"])
        seen.add(key)
    return Checked(usable, findings, dict(parts), dict(sorted(calls.items())), unoffered)


def _add_imperfect(truth: str, correctness: float, where: str, mode: Mode, findings: Findings) -> None:
    form = tool_call_format(truth, truth, mode=mode)
    constant = mode == "strict" and OPEN not in truth  # correctness is 0 for any answer
    if form is not None and (form < 1.0 or (correctness < HIGHEST and not constant)):
        findings.add(
            "imperfect",
            where,
            f"format {form:g}, correctness {correctness:g}: {truth}",
            what=f"a ground truth that does not get full marks itself in mode={mode}",
        )

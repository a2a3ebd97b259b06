"""RLLA (ToolRL, arXiv:2504.13958): tool-calling rows, read, written, and checked against their own rewards."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.schema import FilledText, Message, Schema, Text, check
from rvpo_verl.data.sources import from_file
from rvpo_verl.rewards.tool_call_parser import OPEN, UnparsableError, parse_calls, split_thought
from rvpo_verl.rewards.tool_calling import HIGHEST, Mode, tool_call_correctness, tool_call_format

Row = dict[str, Any]


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
        ValueError: no such file, or a row that does not fit, naming the row and its field.
    """
    rows = []
    for number, row in from_file(path).rows:
        where = f"{path}, row {number}"
        if isinstance(row, dict) and "prompt" not in row and "instruction" in row:
            rows.append(_from_raw(check(RawRllaRow, row, where), split, number - 1))
        else:
            check(RllaRow, row, where)
            rows.append(row)
    if not rows:
        raise ValueError(f"{path} has no rows")
    return rows


def _from_raw(raw: RawRllaRow, split: str, index: int) -> Row:
    return {
        "data_source": "rlla",
        "prompt": [{"role": "system", "content": raw.instruction}, {"role": "user", "content": raw.input}],
        "ability": "math",  # as RLLA's training file has it
        "reward_model": {"style": "rule", "ground_truth": raw.output},
        "extra_info": {"split": split, "index": index, **raw.model_dump()},
    }


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def ground_truth(row: Row) -> str:
    return row["reward_model"]["ground_truth"]


@dataclass
class Checked:
    usable: list[Row]
    """Rows whose ground truth the rewards can read, in the mode asked for."""
    findings: Findings
    parts: dict[str, int]
    """How many ground truths have a tool call, a response, both, or neither."""
    calls: dict[int, int]
    """How many ground truths have so many calls; unreadable ones do not count."""


def check_rlla(rows: Sequence[Row], mode: Mode = "robust") -> Checked:
    """Scores every ground truth against itself.

    A row whose ground truth a mode cannot read has no reward in it: it costs its rollouts and teaches nothing.
    """
    findings, usable = Findings(), []
    parts: Counter[str] = Counter()
    calls: Counter[int] = Counter()
    for number, row in enumerate(rows, start=1):
        truth, where = ground_truth(row), f"row {number}"
        if _note_unreadable(truth, where, mode, findings):
            usable.append(row)
        _note_imperfect(truth, where, mode, findings)
        answer = split_thought(truth)[1]
        has = [part for part, tag in (("tool call", OPEN), ("response", "<response>")) if tag in answer]
        parts[" and ".join(has) or "neither"] += 1
        try:
            calls[len(parse_calls(answer))] += 1
        except UnparsableError:
            continue
    _note_repeated(rows, findings)
    return Checked(usable, findings, dict(parts), dict(sorted(calls.items())))


def _note_unreadable(truth: str, where: str, mode: Mode, findings: Findings) -> bool:
    """Whether `mode` can read it."""
    modes: tuple[Mode, ...] = ("strict", "robust")
    unreadable = [each for each in modes if tool_call_correctness(truth, truth, mode=each) is None]
    for each in unreadable:
        findings.add(
            f"unreadable_{each}",
            f"a ground truth that mode={each} cannot read: both rewards are missing",
            "dropped" if each == mode else f"nothing: mode={mode} decides",
            where,
            truth,
        )
    return mode not in unreadable


def _note_imperfect(truth: str, where: str, mode: Mode, findings: Findings) -> None:
    form = tool_call_format(truth, truth, mode=mode)
    correct = tool_call_correctness(truth, truth, mode=mode)
    if form is None or correct is None:
        return
    constant = mode == "strict" and OPEN not in truth  # scored 0 whatever the answer
    if form < 1.0 or (correct < HIGHEST and not constant):
        findings.add(
            "imperfect",
            f"a ground truth that does not get full marks itself in mode={mode}",
            "kept",
            where,
            f"format {form:g}, correctness {correct:g}: {truth}",
        )


def _note_repeated(rows: Sequence[Row], findings: Findings) -> None:
    seen: set[tuple[str, ...]] = set()
    for number, row in enumerate(rows, start=1):
        key = tuple(message["content"] for message in row["prompt"])
        if key in seen:
            findings.add("prompt_repeated", "a prompt is there twice", "kept", f"row {number}", key[-1])
        seen.add(key)

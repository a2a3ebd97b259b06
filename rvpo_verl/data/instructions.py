"""Rows of verifiable instructions for verl, from published sets, from files, or generated.

Every row is written in IFEval's own fields, from each of the published forms. Arguments are stored as JSON: as a
table of their own they would have a column for every argument of every kind, most of them null.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rvpo_verl.data.duplicates import prompt_key
from rvpo_verl.data.findings import Findings
from rvpo_verl.data.instruction_prompts import Prompts, draw_row
from rvpo_verl.errors import ConfigError, UserError
from rvpo_verl.rewards.instructions.checks import build
from rvpo_verl.rewards.instructions.rows import SHAPE, read_constraints

Row = dict[str, Any]
HUB = {
    "if-multi": "allenai/IF_multi_constraints_upto5",
    "rlvr-ifeval": "allenai/RLVR-IFeval",
    "nemotron-if": "nvidia/Nemotron-RL-instruction_following",
    "ifeval": "google/IFEval",
    "ifbench": "allenai/IFBench_test",
}
BENCHMARKS = ("ifeval", "ifbench")
"""Sets to evaluate on, which are refused as training data."""
OPENING = 12
"""Words at the start of a prompt that two different prompts do not share by chance."""


@dataclass
class Prepared:
    rows: list[Row] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    read: int = 0


def convert(rows: Iterable[tuple[str, Any]], name: str, split: str) -> Prepared:
    """Rows for verl. A row with a constraint that no checker can check is left out, and counted by the reason.

    Args:
        rows: with the place of each, for messages.
        name: `data_source` of every row.

    Raises:
        UserError: a row without a prompt, or none of whose constraints are in a known form.
    """
    prepared, seen = Prepared(), set()
    for where, given in rows:
        prepared.read += 1
        messages = _messages(given, where)
        try:
            constraints = read_constraints(_with_constraints(given), given.get("ground_truth"))
            for constraint in constraints:
                build(constraint)
        except ConfigError:
            raise
        except UserError as error:
            reason = re.split(r"[:;]", str(error), maxsplit=1)[0]
            prepared.findings.add(
                f"unusable {reason}", where, str(error), what=f"no check: {reason}", handled="row dropped"
            )
            continue
        row = {
            "data_source": name,
            "prompt": messages,
            "ability": "instructions",
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {
                "split": split,
                "index": len(prepared.rows),
                "key": str(given.get("key", "")),
                "instruction_id_list": [each.kind for each in constraints],
                "kwargs": [json.dumps(each.arguments) for each in constraints],
            },
        }
        if (key := prompt_key(row)) in seen:
            prepared.findings.add(
                "prompt_repeated", where, messages[-1]["content"], handled="only the first kept"
            )
            continue
        seen.add(key)
        prepared.rows.append(row)
    return prepared


@dataclass(frozen=True)
class Generate:
    """What is generated: training prompts, prompts of held-out tasks, and prompts with held-out kinds too."""

    train: int
    val: int = 0
    test: int = 0
    seed: int = 0
    held_out_tasks: float = 0.2
    """Share of the tasks that `val` and `test` have to themselves."""
    held_out_kinds: Sequence[str] = ()
    """Kinds that training never sees: each prompt of `test` has one of them."""


def generate(what: Generate, prompts: Prompts, name: str) -> dict[str, Prepared]:
    """Prompts by split.

    Raises:
        UserError: too few tasks to hold some out, or constraints that contradict each other.
    """
    held = round(len(prompts.tasks) * what.held_out_tasks) if what.val or what.test else 0
    if held >= len(prompts.tasks) or (not held and (what.val or what.test)):
        raise UserError(
            f"{what.held_out_tasks:g} of {len(prompts.tasks)} tasks cannot be held out: give more tasks, or a share "
            "that leaves some on either side"
        )
    if what.test and not what.held_out_kinds:
        raise UserError(
            "a test split needs held-out kinds: name them with --held-out-kind, or leave --test out"
        )
    tasks = list(dict.fromkeys(prompts.tasks))
    kinds = [kind for kind in prompts.kinds if kind not in what.held_out_kinds]
    drawn_from = {
        "train": (what.train, Prompts(tasks[: len(tasks) - held], kinds, prompts.constraints, prompts.words)),
        "val": (
            what.val,
            Prompts(tasks[len(tasks) - held :] or tasks, kinds, prompts.constraints, prompts.words),
        ),
        "test": (
            what.test,
            Prompts(
                tasks[len(tasks) - held :] or tasks,
                kinds,
                prompts.constraints,
                prompts.words,
                with_one_of=what.held_out_kinds,
            ),
        ),
    }
    return {
        split: convert(
            ((f"prompt {number + 1}", draw_row(source, what.seed, number)) for number in range(count)),
            name,
            split,
        )
        for split, (count, source) in drawn_from.items()
        if count
    }


def without_benchmark_prompts(
    rows: Sequence[Row], benchmarks: Mapping[str, Sequence[str]], findings: Findings
) -> list[Row]:
    """Removes rows whose prompt is one of a benchmark, or begins as one does.

    Args:
        benchmarks: prompts by the name of the benchmark.
    """
    openings = {_opening(prompt): name for name, prompts in benchmarks.items() for prompt in prompts}
    kept = []
    for row in rows:
        prompt = row["prompt"][-1]["content"]
        if (name := openings.get(_opening(prompt))) is None:
            kept.append(row)
        else:
            findings.add(
                f"in {name}",
                "",
                prompt,
                what=f"a prompt of {name} is in the training data",
                handled="row dropped",
            )
    return kept


def prompts_of(rows: Iterable[tuple[str, Any]]) -> list[str]:
    """The last message of each row."""
    return [_messages(row, where)[-1]["content"] for where, row in rows]


def _opening(prompt: str) -> str:
    return " ".join(re.findall(r"\w+", prompt.lower())[:OPENING])


def _messages(row: Any, where: str) -> list[dict[str, str]]:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: found a {type(row).__name__}; expected an object")
    for name in ("messages", "prompt"):
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return [{"role": "user", "content": value}]
        if isinstance(value, list) and value:
            turns = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in value]
            while turns and turns[-1]["role"] == "assistant":  # an answer is not part of the prompt
                turns.pop()
            if turns:
                return turns
    raise UserError(
        f"{where}: no prompt in messages or prompt; there are: {', '.join(map(str, row))}. {SHAPE}"
    )


def _with_constraints(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row itself, or its `extra_info` where it is prepared already."""
    info = row.get("extra_info")
    return info if isinstance(info, Mapping) and info.get("instruction_id_list") is not None else row

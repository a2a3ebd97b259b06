"""BFCL of inspect-evals 0.26, with corrections for rows that it scores as wrong for every answer.

* A possible answer that is an object holds a list of alternatives for each of its keys, which inspect-evals compares
  literally. `literal` writes the alternatives out, so that its comparison holds.
* In a dialogue, tools of the simulated services change lists that they are called with, and inspect-evals replays the
  changed lists to compare the final states. Tools get copies here.
* A sample without an answer (`bounded`) is wrong, also where no call is the right answer.

`DEFECTS` are the rows that no answer satisfies; `rvpo-verl compare` names them beside the score.
"""

import atexit
import copy
import functools
import itertools
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any, cast

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer, Target, accuracy, grouped, scorer, stderr
from inspect_ai.solver import TaskState
from inspect_evals.bfcl import bfcl as published
from inspect_evals.bfcl.backends import setup_backend_classes
from inspect_evals.bfcl.bfcl import (
    bfcl_scorer,
    bfcl_solver,
    multi_turn_record_to_sample,
    single_turn_record_to_sample,
)
from inspect_evals.bfcl.data import load_records_by_category
from inspect_evals.bfcl.solve import multi_turn_solver
from inspect_evals.bfcl.utils import task_categories as known

from rvpo_verl.errors import UserError
from rvpo_verl.evaluation.bounded import bounded
from rvpo_verl.evaluation.scores import UNANSWERABLE, UNANSWERED

MAX_LITERALS = 10_000
"""Of one possible answer; the largest of BFCL-v3 has a few dozen."""
SOURCES = "func_source_code"
"""Folder with the code of the services that the dialogues call."""
_recording_tool = multi_turn_solver._make_recording_tool

_NO_VALUE = "a required parameter has no possible value in the ground truth"
_TYPE = "the ground truth gives text to a parameter declared an integer"
DEFECTS = {
    "live_multiple_964-207-0": _NO_VALUE,
    "live_simple_106-63-0": _NO_VALUE,
    "live_simple_112-68-0": _NO_VALUE,
    "multi_turn_base_173": _TYPE,
    "multi_turn_long_context_173": _TYPE,
    "multi_turn_miss_func_173": _TYPE,
    "multi_turn_miss_param_173": _TYPE,
    "multi_turn_miss_func_49": "the ground truth calls a tool before it is offered",
}
"""By id, why no answer is right: those of 4,441 rows that their own ground truth does not satisfy."""


def bfcl_task(data: Path | None, categories: str | list[str] | None) -> Task:
    """
    Raises:
        UserError: an unknown category, or files that are not in `data`.
    """
    chosen = categories.split(",") if isinstance(categories, str) else categories or v3()
    samples = list(published(categories=chosen).dataset if data is None else _samples(data, chosen))
    for sample in samples:
        metadata = _metadata(sample)
        for call in metadata.get("parsed_ground_truth", ()):
            for name, parameters in call.items():
                call[name] = {key: _literals(values) for key, values in parameters.items()}
        if sample.id in DEFECTS:
            metadata[UNANSWERABLE] = DEFECTS[sample.id]
    multi_turn_solver._make_recording_tool = copying_tool  # type: ignore[assignment]  # takes the same, by position
    dataset = MemoryDataset(_mixed(samples), name="BFCL", location=str(data) if data else None)
    return Task(dataset=dataset, solver=bounded(bfcl_solver()), scorer=scorer_of_answers())


def _metadata(sample: Sample) -> dict[str, Any]:
    return cast("dict[str, Any]", sample.metadata)  # every row of BFCL has some


def _mixed(samples: Iterable[Sample]) -> list[Sample]:
    """One of each category in turn, so that the first few rows, which a limit takes, are of all categories."""
    by_category: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_category[_metadata(sample)["category_name"]].append(sample)
    rounds = itertools.zip_longest(*by_category.values())
    return [sample for one_of_each in rounds for sample in one_of_each if sample is not None]


@scorer(
    metrics=[
        accuracy(),
        stderr(),
        grouped(accuracy(), "category_name", name_template="{group_name}_acc"),
        grouped(stderr(), "category_name", name_template="{group_name}_sterr"),
    ],
    name="bfcl_scorer",
)
def scorer_of_answers() -> Scorer:
    score_of_answer = bfcl_scorer()

    async def score(state: TaskState, target: Target) -> Score | None:
        reason = state.metadata.get(UNANSWERED)
        return (
            Score(value=0, answer="", explanation=reason) if reason else await score_of_answer(state, target)
        )

    return score


def copying_tool(name: str, method: Callable[..., Any], *arguments: Any) -> Any:
    """inspect-evals' tool, which records its calls; the method gets a copy of what is recorded."""

    @functools.wraps(method)
    def call(**named: Any) -> Any:
        return method(**copy.deepcopy(named))

    return _recording_tool(name, call, *arguments)


def literal(possible: Any) -> list[Any]:
    """All values that one possible answer stands for.

    `{"min": [3], "max": [4, ""]}` is `{"min": 3, "max": 4}` and `{"min": 3}`: `""` among the alternatives of a key
    says that it may be left out. Lists of such objects have all combinations.
    """
    if (
        isinstance(possible, dict)
        and possible
        and all(isinstance(values, list) for values in possible.values())
    ):
        choices = [
            [(key, value) for each in values for value in ([each] if each == "" else literal(each))]
            for key, values in possible.items()
        ]
        if prod(map(len, choices)) <= MAX_LITERALS:
            return [
                {key: value for key, value in chosen if value != ""} for chosen in itertools.product(*choices)
            ]
    elif isinstance(possible, list) and any(isinstance(item, dict) for item in possible):
        choices = [literal(item) for item in possible]
        if prod(map(len, choices)) <= MAX_LITERALS:
            return list(map(list, itertools.product(*choices)))
    return [possible]


def _literals(possible: list[Any]) -> list[Any]:
    return [value for each in possible for value in literal(each)]


@functools.cache  # inspect-evals accepts one folder in a process
def _sources(folder: Path) -> Path:
    """The code of the services, of inspect-evals' cache; else of the package bfcl_eval, changed as for that cache."""
    packaged = folder.resolve().parent / "eval_checker/multi_turn_eval" / SOURCES
    if (folder / SOURCES).exists() or not packaged.exists():
        return folder / SOURCES
    changed = Path(tempfile.mkdtemp(prefix="bfcl-"))
    atexit.register(shutil.rmtree, changed, ignore_errors=True)
    for file in packaged.glob("*.py"):
        text = file.read_text(encoding="utf-8").replace(
            f"from bfcl_eval.eval_checker.multi_turn_eval.{SOURCES}.", "from "
        )
        (changed / file.name).write_text(text, encoding="utf-8")
    return changed


def v3() -> list[str]:
    """Without the categories that the leaderboard retired: execution, SQL, REST, composite multi-turn."""
    all_of_them = known.V1_CATEGORIES | known.V2_CATEGORIES | known.V3_CATEGORIES
    return sorted(all_of_them - known.UNUSED_DATASET_CATEGORIES)


def _samples(folder: Path, categories: list[str]) -> Iterator[Sample]:
    unknown = [name for name in categories if name not in known.CATEGORIES]
    if unknown:
        raise UserError(f"categories {unknown}: expected some of {sorted(known.CATEGORIES)}")
    sources = _sources(folder)
    for name in categories:
        category = known.CATEGORIES[name]
        files: list[str | Path | None] = [
            category.filename,
            category.ground_truth_filename if category.has_ground_truth_file else None,
        ]
        if category.is_multi_turn:
            files += ["multi_turn_func_doc", sources]
        missing = [str(file) for file in files if file and not (folder / file).exists()]
        if missing:
            raise UserError(
                f"{folder} has no {', '.join(missing)} for the category {name}; expected the files of "
                "bfcl_eval/data in the package bfcl-eval or the leaderboard's repository, or the folder BFCL of "
                "inspect-evals' cache. Leave a category out with categories=NAME,NAME,..."
            )
        if category.is_multi_turn:
            setup_backend_classes(sources)
        to_sample = multi_turn_record_to_sample if category.is_multi_turn else single_turn_record_to_sample
        records = load_records_by_category(category_name=name, cache_dir=folder)
        yield from (to_sample(records[key]) for key in sorted(records))

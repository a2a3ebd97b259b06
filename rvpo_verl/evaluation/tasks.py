"""HealthBench, GPQA-Diamond and BFCL of inspect-evals, from its downloads or from local files.

Solvers, scorers and the conversion of rows to samples are inspect-evals' own. Differences:

* `data` names local files, for machines that cannot download.
* HealthBench's answers are not cached. inspect-evals caches them by the model's name and address, so a second
  checkpoint served under the same name would get the first one's answers.
* A JSON schema constrains the verdicts of HealthBench's judge, because inspect-evals counts a verdict that it cannot
  read as "not met".
* A request that the policy's server refuses, and a dialogue of more than 20 steps a turn, fails its own sample.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from inspect_ai import Task, task
from inspect_ai.dataset import Dataset, MemoryDataset, csv_dataset, json_dataset
from inspect_ai.model import GenerateConfig, ResponseSchema, get_model
from inspect_ai.scorer import choice
from inspect_ai.solver import generate, multiple_choice
from inspect_ai.util import JSONSchema

from rvpo_verl.errors import UserError
from rvpo_verl.evaluation.bounded import bounded

JUDGE = "openai-api/judge/judge"

VERDICT = ResponseSchema(
    name="verdict",
    json_schema=JSONSchema(
        type="object",
        properties={"explanation": JSONSchema(type="string"), "criteria_met": JSONSchema(type="boolean")},
        required=["explanation", "criteria_met"],
        additionalProperties=False,
    ),
    strict=True,
)
"""The form that HealthBench's prompt asks for."""


def _healthbench_task(name: str, subset: Literal["full", "hard", "consensus"]) -> Callable[..., Task]:
    @task(name=name)
    def healthbench(
        data: str | None = None,
        judge_model: str = JUDGE,
        judge_schema: bool = True,
        judge_max_tokens: int | None = None,
        judge_temperature: float = 0.0,
    ) -> Task:
        """HealthBench (arXiv:2505.08775); one call of the judge per criterion.

        Args:
            data: JSONL of HealthBench's rows: prompt, rubrics, and optionally prompt_id and example_tags.
            judge_model: as inspect names it; `openai-api/judge/MODEL` is at JUDGE_BASE_URL.
            judge_schema: `false` for an endpoint that does not accept a JSON schema.
        """
        from inspect_evals.healthbench.dataset import load_healthbench_dataset
        from inspect_evals.healthbench.scorer import healthbench_scorer

        schema = GenerateConfig(response_schema=VERDICT if judge_schema else None)
        return Task(
            dataset=load_healthbench_dataset(subset)
            if data is None
            else _healthbench_dataset(_existing_path(data)),
            solver=bounded(generate()),
            scorer=healthbench_scorer(
                judge_model=get_model(judge_model, config=schema),
                judge_max_tokens=judge_max_tokens,
                judge_temperature=judge_temperature,
                include_subset_scores=True,
            ),
        )

    return healthbench


healthbench = _healthbench_task("healthbench", "full")  # 5,000 conversations
healthbench_hard = _healthbench_task("healthbench_hard", "hard")  # 1,000
healthbench_consensus = _healthbench_task(
    "healthbench_consensus", "consensus"
)  # 3,671, criteria by physicians


@task
def gpqa_diamond(data: str | None = None, cot: bool = True) -> Task:
    """GPQA-Diamond (arXiv:2311.12022), 198 questions of four choices, four epochs.

    Args:
        data: CSV or JSONL with the columns of gpqa_diamond.csv.
        cot: ask the model to think first.
    """
    from inspect_evals.gpqa import DEFAULT_EPOCHS, get_gpqa_diamond_dataset

    return Task(
        dataset=get_gpqa_diamond_dataset() if data is None else _gpqa_dataset(_existing_path(data)),
        solver=bounded(multiple_choice(cot=cot)),
        scorer=choice(),
        epochs=DEFAULT_EPOCHS,
    )


@task
def bfcl(data: str | None = None, categories: str | list[str] | None = None) -> Task:
    """The Berkeley Function Calling Leaderboard: BFCL-v3's 17 categories, 4,441 samples.

    Args:
        data: `bfcl_eval/data` of the package bfcl-eval or of the leaderboard's repository, or the folder
            `BFCL` of inspect-evals' cache.
        categories: names, or a list separated by commas.
    """
    from rvpo_verl.evaluation.bfcl import bfcl_task

    return bfcl_task(None if data is None else _existing_path(data), categories)


def _healthbench_dataset(path: Path) -> Dataset:
    from inspect_evals.healthbench.dataset import record_to_sample

    from rvpo_verl.data.healthbench import HealthBenchRow
    from rvpo_verl.data.schema import check
    from rvpo_verl.files import read_rows

    samples = []
    for number, row in read_rows(path):
        check(HealthBenchRow, row, f"{path}, row {number}")
        rubrics = [{"tags": [], **criterion} for criterion in row["rubrics"]]
        samples.append(
            record_to_sample({"prompt_id": _digest(row), "example_tags": [], **row, "rubrics": rubrics})
        )
    return MemoryDataset(samples, name=path.stem, location=str(path))


def _digest(row: dict[str, Any]) -> str:
    """An id for a row without one, which does not depend on the row's position."""
    return hashlib.sha256(json.dumps(row["prompt"]).encode()).hexdigest()[:16]


def _gpqa_dataset(path: Path) -> Dataset:
    from inspect_evals.gpqa import DEFAULT_SHUFFLE_SEED, record_to_sample

    read = csv_dataset if path.suffix == ".csv" else json_dataset
    try:
        return read(str(path), sample_fields=record_to_sample, shuffle_choices=DEFAULT_SHUFFLE_SEED)
    except KeyError as error:
        raise UserError(
            f"{path} has no column {error}; expected those of gpqa_diamond.csv: Record ID, Question, Correct "
            "Answer, Incorrect Answer 1 to 3, High-level domain, Subdomain"
        ) from None


def _existing_path(data: str) -> Path:
    path = Path(data)
    if not path.exists():
        raise UserError(f"data={data}: no such file or folder")
    return path

"""IFEval (arXiv:2311.07911) and IFBench, by the checkers that train: `rvpo_verl.rewards.instructions`.

A sample's score is the benchmark's headline figure, prompt-level strict accuracy: 1 if the answer meets all
constraints of its prompt. The others are metrics of the task, and groups of `rvpo-verl compare`:

    prompt-level         share of the answers that meet all constraints
    instruction-level    share of the constraints that are met, over all prompts
    loose                also without the first or last line, or without asterisks
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample, hf_dataset
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, accuracy, metric, scorer, stderr
from inspect_ai.solver import TaskState, generate

from rvpo_verl.errors import UserError
from rvpo_verl.evaluation.bounded import bounded

HUB = {"ifeval": "google/IFEval", "ifbench": "allenai/IFBench_test"}
MODES: tuple[Literal["strict", "loose"], ...] = ("strict", "loose")


def _task(name: str) -> Callable[..., Task]:
    @task(name=name)
    def instructions(data: str | None = None, cut_reasoning: bool = True) -> Task:
        """
        Args:
            data: rows in the benchmark's own fields: prompt, instruction_id_list, kwargs, and optionally key.
            cut_reasoning: check what follows `</think>`.
        """
        from rvpo_verl.rewards.instructions.resources import look_for_data

        look_for_data()
        if data is None:
            dataset = hf_dataset(HUB[name], split="train", sample_fields=_sample, name=name)
        else:
            dataset = _local(Path(data))
        return Task(dataset=dataset, solver=bounded(generate()), scorer=constraints(cut_reasoning))

    return instructions


ifeval = _task("ifeval")  # 541 prompts
ifbench = _task("ifbench")  # 300


def _local(path: Path) -> MemoryDataset:
    from rvpo_verl.files import read_rows
    from rvpo_verl.rewards.instructions import read_constraints

    samples = []
    for number, row in read_rows(path):
        try:
            read_constraints(row)
            samples.append(_sample({"key": number, **row}))
        except (UserError, KeyError, AttributeError) as error:
            raise UserError(
                f"{path}, row {number}: {error}. Expected IFEval's fields prompt, instruction_id_list and kwargs"
            ) from None
    return MemoryDataset(samples, name=path.stem, location=str(path))


def _sample(row: dict[str, Any]) -> Sample:
    kept = {name: row[name] for name in ("instruction_id_list", "kwargs")}
    return Sample(id=str(row["key"]), input=row["prompt"], metadata=kept)


def _pooled(mode: str) -> Metric:
    def over(scores: list[SampleScore]) -> float:
        met = [each for one in scores for each in (one.score.metadata or {})[mode].values()]
        return sum(met) / len(met) if met else 0.0

    return over


@metric
def instruction_level_strict() -> Metric:
    """Share of all constraints that are met."""
    return _pooled("strict")


@metric
def instruction_level_loose() -> Metric:
    """The same, where an answer may lose its first or last line, or asterisks."""
    return _pooled("loose")


@metric
def prompt_level_loose() -> Metric:
    """Share of the answers that loosely meet all constraints."""

    def over(scores: list[SampleScore]) -> float:
        met = [min((one.score.metadata or {})["loose"].values()) for one in scores]
        return sum(met) / len(met) if met else 0.0

    return over


@scorer(
    metrics=[
        accuracy(),
        stderr(),
        prompt_level_loose(),
        instruction_level_strict(),
        instruction_level_loose(),
    ]
)
def constraints(cut_reasoning: bool = True) -> Scorer:
    """1 if the answer meets all constraints, as it is. A checker that fails is a constraint that is not met.

    An empty answer, as that of a refused request (`bounded`), meets none.
    """
    from rvpo_verl.rewards.instructions import instructions

    async def score(state: TaskState, target: Target) -> Score:
        by_mode = {
            mode: {
                name: each.value or 0.0
                for name, each in instructions(
                    state.output.completion, state.metadata, mode=mode, cut_reasoning=cut_reasoning
                ).items()
            }
            for mode in MODES
        }
        strict = by_mode["strict"]
        groups = [["prompt-level", "loose", min(by_mode["loose"].values())]]
        groups += [
            ["constraints of a prompt", mode, sum(met.values()) / len(met)] for mode, met in by_mode.items()
        ]
        for kind in dict.fromkeys(name.rpartition("/")[0] for name in strict):
            of_kind = [met for name, met in strict.items() if name.rpartition("/")[0] == kind]
            groups.append(["kind", kind, sum(of_kind) / len(of_kind)])
        return Score(
            value=min(strict.values()), answer=state.output.completion, metadata={**by_mode, "groups": groups}
        )

    return score

"""The advantage step as a share of a training step: read from a run, and calculated for the paper's recipes."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.advantage import REPEATS, Batch, Workload
from benchmarks.rows import Row, median_ms

AIM = 0.1  # per cent


@dataclass(frozen=True)
class Recipe:
    name: str
    workload: Workload
    step_seconds: float
    source: str


# NVlabs/GDPO, train_gdpo.sh: 105 steps in about an hour on 8 A100.
TOOL_CALLING_SECONDS = 3600 / 105
# No step time of a 14B run is published. This takes the one above in proportion to the parameters only, on
# H100 with three times an A100's rate, although the rubric recipe's responses may be 3.5 times as long.
RUBRICS_14B_SECONDS = TOOL_CALLING_SECONDS * (14.8 / 1.54) / 3

RECIPES = [
    Recipe(
        "tool calling, 1.5B",
        Workload(2048, 2, 4, 1024),
        TOOL_CALLING_SECONDS,
        f"{TOOL_CALLING_SECONDS:.0f} s a step: GDPO's published run, 105 steps in an hour on 8 A100",
    ),
    Recipe(
        "rubrics, 14B",
        Workload(1536, 17, 16, 3584, ragged=True),
        RUBRICS_14B_SECONDS,
        f"{RUBRICS_14B_SECONDS:.0f} s a step on 8 H100, estimated low: the above by parameters (14.8 / 1.54), a "
        "third of it for the faster GPU, nothing for the longer responses",
    ),
]


def measure(log: Path | None) -> list[Row]:
    """
    Args:
        log: what verl's file logger wrote in a run with rvpo, such as `metrics.jsonl` of `rvpo-verl demo`.
    """
    return [*map(_calculated, RECIPES), *(_read(log) if log is not None else [])]


def _calculated(recipe: Recipe) -> Row:
    batch = Batch(recipe.workload, "cpu")
    ms = median_ms(batch.estimator(batch.vectors()), REPEATS)
    return Row(
        f"{recipe.name}: whole step {recipe.workload}, {ms:.3g} ms, of a training step (calculated)",
        100 * ms / 1e3 / recipe.step_seconds,
        "%",
        at_most=AIM,
        remark=recipe.source,
    )


def _read(log: Path) -> list[Row]:
    steps = [json.loads(line)["data"] for line in log.read_text().splitlines()]
    steps = [step for step in steps if "timing_s/adv" in step]
    if not steps:
        raise ValueError(
            f"{log} has no step with timing_s/adv: give the metrics.jsonl of a run of verl's launcher"
        )
    advantage = statistics.median(step["timing_s/adv"] for step in steps)
    whole = statistics.median(step["timing_s/step"] for step in steps)
    return [
        Row(
            f"launcher run, median of {len(steps)} steps: {1e3 * advantage:.0f} ms of {whole:.1f} s",
            100 * advantage / whole,
            "%",
            at_most=AIM,
            remark="timing_s/adv: with what verl does there for any estimator, moving the batch through TransferQueue",
            if_missed="a tiny policy's step takes seconds where a real one takes minutes",
        )
    ]

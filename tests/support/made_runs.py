"""Runs of the experiment and results that were not trained, for the tests of what is made of them."""

from typing import Any

from experiment import prompts, results
from experiment.grid import Run
from experiment.loop import FINAL_SAMPLES, Outcome


def run(method: str = "gdpo", **options: Any) -> Run:
    settings: dict[str, Any] = {"task": "shortcut", "checkpoint": 0, "seed": 0, "answers": 16, "steps": 3}
    return Run(**settings | options, method=method)


def made(met: float = 1, **options: Any) -> results.Result:
    prompts_held_out = len(prompts.evaluation())
    met_of: Any = met * FINAL_SAMPLES  # a share of it, for a mean that no answers have
    return results.Result(
        run(**options),
        Outcome(
            [0, 100, 200, 300],
            [[0.0] * 6, [1, 3, 1, 0.75, 0.75, 0.75], [1, 3, 1, 0.75, 0.75, 0.75], [1, 3, 1, 0.75, 0.75, 0.75]],
            [0.0, 0.9, 0.9, 0.3], [0.0] * 4, [[0.0] * 6] * 4, [0.0] * 4, [1, 3, 1, 0.75, 0.75, 0.75],
            [met_of] * prompts_held_out,
        ),
    )  # fmt: skip

"""docs/experiments-real-model.md: what the kept results say, and what is missing for a conclusion."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from real_model import grid, prompts
from real_model.methods import METHODS
from real_model.results import File

RESAMPLES = 2000
FOUND, LOST = 0.3, 0.1
"""A kind is found when its share rises by more than FOUND from below LOST, and lost when it falls by more than LOST."""


def write(results: Path, docs: Path) -> Path:
    """The report and its figure."""
    out = docs / "experiments-real-model.md"
    rate = grid.chosen_learning_rate(results)
    rates = [File(results, run) for run in grid.learning_rate_runs()]
    runs = [] if rate is None else [File(results, run) for run in grid.comparison_runs(rate)]
    finished = [file for file in runs if file.finished()]
    parts = [_INTRODUCTION, _completeness(rates, runs), _rates(rates, rate)]
    if finished:
        _figure(runs, docs / "figures" / "real-model.png")
        parts += [
            "![Share of held-out answers that meet all constraints, and gradient norms](figures/real-model.png)"
        ]
        parts += [_outcomes(finished), _kinds(finished), _stability(finished), _answers(finished)]
    out.write_text("\n\n".join(parts) + "\n")
    return out


_INTRODUCTION = f"""# An experiment with a pretrained model

SmolLM2-135M-Instruct is trained on prompts with 2 to 5 of {len(prompts.KINDS)} kinds of verifiable constraints
([instructions](instructions.md)), 6 prompts x 8 answers of at most 80 tokens a step, on a CPU. Only the last 10 of its
30 layers are trained; each batch is used for one update, without a reference policy. Runs with the same seed have the
same prompts. All figures are on prompts whose tasks are not trained on, 24 prompts x 4 answers. This file is written by
`python scripts/real_model.py report` from `docs/data/real-model`. Everything here ran in the plain loop of
`scripts/real_model/training.py`, which calls `rvpo_verl.core.compute`; nothing of it ran through verl's launcher."""


def _completeness(rates: Sequence[File], runs: Sequence[File]) -> str:
    wanted = list(rates) + list(runs)
    done = sum(file.finished() for file in wanted)
    lines = ["## What is complete", ""]
    if not runs:
        missing = len(grid.comparison_runs(0.0))
        lines += [
            f"{done} of {len(rates)} runs for the learning rate are finished. **The comparison has not begun: "
            f"{missing} runs of {grid.STEPS} steps are missing, and nothing can be said yet about the methods.**"
        ]
    elif done < len(wanted):
        lines += [f"**{done} of {len(wanted)} runs are finished; what follows is preliminary.**"]
    else:
        lines += [f"All {len(wanted)} runs are finished."]
    lines += ["", "| run | learning rate | seed | steps made | of |", "|---|---|---|---|---|"]
    lines += [
        f"| {METHODS[file.run.method].label}{' (learning rate)' if file.run.evaluated_on == 'validation' else ''} | "
        f"{file.run.learning_rate:g} | {file.run.seed} | {len(file.steps())} | {file.run.steps} |"
        for file in wanted
    ]
    return "\n".join(lines)


def _rates(rates: Sequence[File], chosen: float | None) -> str:
    lines = [
        "## The learning rate",
        "",
        f"Chosen on GDPO alone, by the share of constraints met after {grid.LEARNING_RATE_STEPS} steps on prompts that "
        + (
            f"are used for nothing else: **{chosen:g}**."
            if chosen
            else "are used for nothing else. Not chosen yet."
        ),
        "",
        "| learning rate | steps | constraints met in training, first and last 5 steps | after the last, held out | "
        "largest gradient norm |",
        "|---|---|---|---|---|",
    ]
    for file in rates:
        steps = file.steps()
        if not steps:
            continue
        met = [step["constraints"] for step in steps]
        evaluated = f"{grid.share_of_constraints(file.evaluations()[-1]):.3f}" if file.finished() else "–"
        lines.append(
            f"| {file.run.learning_rate:g} | {len(steps)} | {np.mean(met[:5]):.3f}, {np.mean(met[-5:]):.3f} | "
            f"{evaluated} | {max(step['gradient_norm'] for step in steps):.2g} |"
        )
    return "\n".join(lines)


def _by_method(files: Sequence[File]) -> dict[str, list[File]]:
    by_method = defaultdict(list)
    for file in files:
        by_method[file.run.method].append(file)
    return {name: by_method[name] for name in METHODS if by_method[name]}


def _per_prompt(evaluation: dict[str, Any]) -> np.ndarray:
    """Share of each prompt's answers that meet all constraints."""
    prompts_in_it = len(evaluation["met"]) // evaluation.get("answers_each", 4)
    full = np.array(["0" not in each for each in evaluation["met"]], dtype=float)
    shares: np.ndarray = full.reshape(prompts_in_it, -1).mean(axis=1)
    return shares


def _outcomes(files: Sequence[File]) -> str:
    from scipy.stats import wilcoxon

    by_method = _by_method(files)
    lines = [
        "## Outcome",
        "",
        "Intervals are 95%, over seeds and prompts drawn again. The test is Wilcoxon's on pairs of seed and prompt, "
        "against GDPO.",
        "",
        "| method | seeds | all constraints | constraints | tokens | difference to GDPO in all constraints, p |",
        "|---|---|---|---|---|---|",
    ]
    for method, of in by_method.items():
        last = [file.evaluations()[-1] for file in of]
        full_SP = np.array([_per_prompt(each) for each in last])
        rng = np.random.default_rng(0)
        S, P = full_SP.shape
        drawn = [
            full_SP[np.ix_(rng.integers(S, size=S), rng.integers(P, size=P))].mean() for _ in range(RESAMPLES)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5])
        compared = "–"
        if method != "gdpo" and "gdpo" in by_method:
            baseline = {file.run.seed: _per_prompt(file.evaluations()[-1]) for file in by_method["gdpo"]}
            pairs = [
                (baseline[file.run.seed], values)
                for file, values in zip(of, full_SP, strict=True)
                if file.run.seed in baseline
            ]
            if pairs:
                difference = np.concatenate([ours - theirs for theirs, ours in pairs])
                p = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
                compared = f"{difference.mean():+.3f}, {p:.2f}"
        lines.append(
            f"| {METHODS[method].label} | {S} | {full_SP.mean():.3f} [{low:.3f}, {high:.3f}] | "
            f"{np.mean([grid.share_of_constraints(each) for each in last]):.3f} | "
            f"{np.mean([each['tokens'] for each in last]):.0f} | {compared} |"
        )
    return "\n".join(lines)


def by_kind(evaluation: dict[str, Any]) -> dict[str, float]:
    """Share of the answers that meet each kind of constraint."""
    answers = evaluation["met"]
    each = evaluation.get("answers_each", 4)
    rows = prompts.evaluation("held_out", len(answers) // each)
    met = defaultdict(list)
    for number, answer in enumerate(answers):
        for kind, score in zip(rows[number // each]["instruction_id_list"], answer, strict=True):
            met[kind].append(score == "1")
    return {kind: float(np.mean(values)) for kind, values in met.items()}


def _kinds(files: Sequence[File]) -> str:
    by_method = _by_method(files)
    before = by_kind(files[0].evaluations()[0])
    after = {
        method: {kind: np.mean([by_kind(file.evaluations()[-1])[kind] for file in of]) for kind in before}
        for method, of in by_method.items()
    }
    lines = [
        "## Kinds of constraint",
        "",
        "| kind | before | " + " | ".join(METHODS[method].label for method in after) + " |",
        "|---|---|" + "---|" * len(after),
    ]
    for kind in sorted(before, key=before.__getitem__):
        cells = " | ".join(f"{after[method][kind]:.2f}" for method in after)
        lines.append(f"| `{kind}` | {before[kind]:.2f} | {cells} |")
    found = [sum(before[k] < LOST and of[k] - before[k] > FOUND for k in before) for of in after.values()]
    lost = [sum(before[k] - of[k] > LOST for k in before) for of in after.values()]
    lines.append("| found | | " + " | ".join(map(str, found)) + " |")
    lines.append("| lost | | " + " | ".join(map(str, lost)) + " |")
    return "\n".join(lines)


def _stability(files: Sequence[File]) -> str:
    lines = [
        "## Stability",
        "",
        "Gradient norms are before clipping at 1. A third party saw a norm of 1e10 with RVPO.",
        "",
        "| method | gradient norm, median and largest | standard deviation of the aggregate, lowest | "
        "largest advantage | groups in which nothing varies |",
        "|---|---|---|---|---|",
    ]
    for method, of in _by_method(files).items():
        steps = [step for file in of for step in file.steps()]
        norms = [step["gradient_norm"] for step in steps]
        lines.append(
            f"| {METHODS[method].label} | {np.median(norms):.2f}, {max(norms):.2g} | "
            f"{min(step['aggregate_std'] for step in steps):.3f} | "
            f"{max(step['largest_advantage'] for step in steps):.1f} | "
            f"{np.mean([step['constant_groups'] for step in steps]):.1%} |"
        )
    return "\n".join(lines)


def _answers(files: Sequence[File]) -> str:
    """Answers to the same prompt, to be read for answers that meet constraints and say nothing."""
    prompt = prompts.evaluation("held_out", 1)[0]["prompt"]
    lines = ["## Answers", "", f"To: {' '.join(prompt.split())}", ""]
    first = files[0].evaluations()[0]["answers"][0]
    lines.append(f"- before: {' '.join(first.split())}")
    for method, of in _by_method(files).items():
        answer = of[0].evaluations()[-1]["answers"][0]
        lines.append(f"- {METHODS[method].label}: {' '.join(answer.split())}")
    return "\n".join(lines)


def _figure(files: Sequence[File], out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for color, (method, of) in enumerate(_by_method(files).items()):
        for number, file in enumerate(of):
            style = {"color": f"C{color}", "label": METHODS[method].label if number == 0 else None}
            evaluations, steps = file.evaluations(), file.steps()
            left.plot(
                [each["step"] for each in evaluations],
                [grid.share_of_all(each) for each in evaluations],
                **style,
            )
            right.semilogy(
                [each["step"] for each in steps], [each["gradient_norm"] for each in steps], lw=0.7, **style
            )
    left.set(xlabel="step", ylabel="held-out answers that meet all constraints")
    right.set(xlabel="step", ylabel="gradient norm before clipping")
    left.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120, metadata={"Software": None})

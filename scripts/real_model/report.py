"""docs/experiments-real-model.md: what the kept results say, and what is missing for a conclusion."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from real_model import claims, grid, outcomes, prompts, replay
from real_model.methods import METHODS
from real_model.results import File

SHOWN = (0, 3, 9, 20)
"""Held-out prompts whose answers are shown."""


def write(results: Path, docs: Path) -> Path:
    """The report and its figures."""
    out = docs / "experiments-real-model.md"
    rate, untrained = grid.chosen_learning_rate(results), File(results, grid.UNTRAINED)
    rates = [File(results, run) for run in grid.learning_rate_runs()]
    runs = [] if rate is None else [File(results, run) for run in grid.comparison_runs(rate)]
    by_method = _by_method([file for file in runs if file.finished()])
    parts = [_INTRODUCTION, _completeness(rates, runs), _rates(rates, rate)]
    if by_method and untrained.finished():
        _outcome_figure(by_method, untrained, docs / "figures" / "real-model.png")
        _kinds_figure(by_method, untrained, docs / "figures" / "real-model-kinds.png")
        parts += [
            _outcomes(by_method, untrained),
            "![Share of held-out answers that meet all constraints, and gradient norms, by step]"
            "(figures/real-model.png)",
            _kinds(by_method, untrained),
            "![Share of held-out answers that meet each kind of constraint, by step](figures/real-model-kinds.png)",
            _honesty(by_method, untrained),
            _stability(by_method),
            _claims(by_method, untrained),
            _answers(by_method, untrained),
        ]
    if (results / replay.FILE).exists():
        parts.append(_agreement(replay.read(results / replay.FILE)))
    remarks = results / "remarks.md"
    if remarks.exists():
        parts.append(remarks.read_text().strip())
    out.write_text("\n\n".join(parts) + "\n")
    return out


_INTRODUCTION = f"""# An experiment with a pretrained model

SmolLM2-135M-Instruct is trained on prompts with 2 to 5 of {len(prompts.KINDS)} kinds of verifiable constraints
([instructions](instructions.md)), 6 prompts x 8 answers of at most 80 tokens a step, on a CPU. Only the last 10 of its
30 layers are trained; each batch is used for one update, without a reference policy. Runs with the same seed have the
same prompts, and the same uniform numbers decide their tokens. "Fluency beside" is one more reward: the mean
log-probability of the answer's tokens for the untrained model. Evaluated are prompts whose tasks are not trained on.
This file is written by `python scripts/real_model.py report` from `docs/data/real-model`. Everything here ran in the
plain loop of `scripts/real_model/training.py`, which calls `rvpo_verl.core.compute`; none of the compared runs went
through verl's launcher."""


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
        "| learning rate | steps | constraints met in training, first and last 5 steps | after the last, there | "
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


def _agreement(steps: Sequence[replay.Step]) -> str:
    """Of this loop and verl's launcher."""
    ratios = np.array([step.gradient_norm / step.verls_gradient_norm for step in steps])
    return "\n".join(
        [
            "## The loop and verl's launcher",
            "",
            f"The {len(steps)} steps of a demo (`./scripts/demo.sh --model smollm2`, which trains all layers) were "
            "made again in the loop, on the answers and rewards that the launcher recorded. The loop's gradient norm "
            f"over verl's, step by step: median {np.median(ratios):.3f}, from {ratios.min():.3f} to "
            f"{ratios.max():.3f}. The largest difference of an advantage: "
            f"{max(step.advantage_difference for step in steps):.2g}.",
        ]
    )


def _by_method(files: Sequence[File]) -> dict[str, list[File]]:
    by_method = defaultdict(list)
    for file in files:
        by_method[file.run.method].append(file)
    return {name: by_method[name] for name in METHODS if by_method[name]}


def _labeled(by_method: dict[str, list[File]], untrained: File) -> dict[str, list[File]]:
    return {"before": [untrained]} | {METHODS[method].label: files for method, files in by_method.items()}


def _outcomes(by_method: dict[str, list[File]], untrained: File) -> str:
    measures: dict[str, outcomes.Shares] = {"held out": outcomes.held_out}
    if "benchmark" in untrained.evaluations()[-1]:
        measures["IFEval"] = outcomes.benchmark
    sizes = {name: len(shares(untrained)) for name, shares in measures.items()}
    lines = [
        "## Outcome",
        "",
        "Share of the answers that meet all constraints of their prompt (prompt-level, strict), after the last step. "
        f"Held out: {sizes['held out']} prompts, {untrained.evaluations()[-1]['answers_each']} answers each, sampled. "
        f"IFEval: {sizes.get('IFEval', 'no')} rows, those whose constraints are of the trained kinds and ask for no "
        "long answer; one answer of at most 160 tokens each, always the most probable token. Brackets: 95%, over seeds "
        "and prompts drawn again. Differences are to GDPO, over the seeds that both have; p is Wilcoxon's, on pairs of "
        "seed and prompt, not corrected.",
        "",
        "| method | seeds | constraints met | "
        + " | ".join(f"{name}, all | to GDPO" for name in measures)
        + " |",
        "|---|---|---|" + "---|---|" * len(measures),
    ]
    for label, files in _labeled(by_method, untrained).items():
        cells = [f"{outcomes.share_of_constraints(files):.3f}"]
        for shares in measures.values():
            compared = None
            if files not in ([untrained], by_method.get("gdpo")):
                compared = outcomes.difference(files, by_method.get("gdpo", []), shares)
            cells += [str(outcomes.interval(files, shares)), str(compared or "–")]
        lines.append(f"| {label} | {'–' if files == [untrained] else len(files)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _kinds(by_method: dict[str, list[File]], untrained: File) -> str:
    before = outcomes.mean_by_kind([untrained])
    after = {method: outcomes.mean_by_kind(files) for method, files in by_method.items()}
    lines = [
        "## Kinds of constraint",
        "",
        "Share of the held-out answers that meet it, mean over seeds. Found: from below "
        f"{outcomes.LOST} up by more than {outcomes.FOUND}; lost: down by more than {outcomes.LOST}.",
        "",
        "| kind | before | " + " | ".join(METHODS[method].label for method in after) + " |",
        "|---|---|" + "---|" * len(after),
    ]
    for kind in sorted(before, key=before.__getitem__):
        cells = " | ".join(f"{of[kind]:.2f}" for of in after.values())
        lines.append(f"| `{kind}` | {before[kind]:.2f} | {cells} |")
    for name, which in (("found", outcomes.found), ("lost", outcomes.lost)):
        counts = " | ".join(str(len(which(before, of))) for of in after.values())
        lines.append(f"| {name} | | {counts} |")
    return "\n".join(lines)


def _honesty(by_method: dict[str, list[File]], untrained: File) -> str:
    lines = [
        "## Whether the answers still answer",
        "",
        "Constraints alone can be met by text that says nothing. Of the same held-out answers: their words, the share "
        f"with fewer than {outcomes.SHORT} words, the share with a word of the subject of their task, and the share of "
        "different sequences of four words among all of them, which falls when answers become alike.",
        "",
        "| method | words | short | on the subject | different sequences |",
        "|---|---|---|---|---|",
    ]
    for label, files in _labeled(by_method, untrained).items():
        reading = outcomes.read(files)
        lines.append(
            f"| {label} | {reading.words:.0f} | {reading.short:.3f} | {reading.on_topic:.3f} | {reading.distinct:.3f} |"
        )
    return "\n".join(lines)


def _stability(by_method: dict[str, list[File]]) -> str:
    lines = [
        "## Stability",
        "",
        "Gradient norms are before clipping at 1. A third party saw a norm of 1e10 with RVPO.",
        "",
        "| method | gradient norm, median and largest | standard deviation of the aggregate, lowest | "
        "largest advantage | groups in which nothing varies |",
        "|---|---|---|---|---|",
    ]
    for method, of in by_method.items():
        steps = [step for file in of for step in file.steps()]
        norms = [step["gradient_norm"] for step in steps]
        lines.append(
            f"| {METHODS[method].label} | {np.median(norms):.2f}, {max(norms):.2g} | "
            f"{min(step['aggregate_std'] for step in steps):.3f} | "
            f"{max(step['largest_advantage'] for step in steps):.1f} | "
            f"{np.mean([step['constant_groups'] for step in steps]):.1%} |"
        )
    return "\n".join(lines)


def _claims(by_method: dict[str, list[File]], untrained: File) -> str:
    lines = ["## The paper's claims", "", "| the paper | here | evidence |", "|---|---|---|"]
    lines += [
        f"| {each.text} | **{each.verdict}** | {each.evidence} |"
        for each in claims.claims(by_method, untrained)
    ]
    return "\n".join([*lines, "", "The rules behind the verdicts are in `scripts/real_model/claims.py`."])


def _answers(by_method: dict[str, list[File]], untrained: File) -> str:
    """The first answer to some prompts, after each method's first seed."""
    each = untrained.evaluations()[-1]["answers_each"]
    lines = ["## Answers"]
    for number in SHOWN:
        row = prompts.evaluation("held_out", number + 1)[number]
        lines += ["", f"To: {' '.join(row['prompt'].split())}", ""]
        for label, files in _labeled(by_method, untrained).items():
            evaluation = files[0].evaluations()[-1]
            answer, met = (evaluation[name][number * each] for name in ("answers", "met"))
            lines.append(f"- {label} ({met.count('1')} of {len(met)}): {' '.join(answer.split())}")
    return "\n".join(lines)


def _outcome_figure(by_method: dict[str, list[File]], untrained: File, out: Path) -> None:
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for color, (method, files) in enumerate(by_method.items()):
        for number, file in enumerate(files):
            label = METHODS[method].label if number == 0 else None
            evaluations, steps = [untrained.evaluations()[-1], *file.evaluations()], file.steps()
            left.plot(
                [each["step"] for each in evaluations],
                [outcomes.on_the_way(each) for each in evaluations],
                color=f"C{color}", label=label, lw=1,
            )  # fmt: skip
            right.plot(
                [each["step"] for each in steps], [each["gradient_norm"] for each in steps],
                color=f"C{color}", lw=0.5,
            )  # fmt: skip
    left.set(xlabel="step", ylabel="held-out answers that meet all constraints", ylim=(0, None))
    right.set(xlabel="step", ylabel="gradient norm before clipping", ylim=(0, None))
    left.legend()
    _save(figure, out)


def _kinds_figure(by_method: dict[str, list[File]], untrained: File, out: Path) -> None:
    before = outcomes.by_kind(untrained.evaluations()[-1], outcomes.ON_THE_WAY)
    figure = Figure(figsize=(12, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 5, sharex=True, sharey=True).flat
    for axis, kind in zip(axes, sorted(before), strict=False):
        for color, (method, files) in enumerate(by_method.items()):
            curves = [
                [
                    before[kind],
                    *(outcomes.by_kind(each, outcomes.ON_THE_WAY)[kind] for each in file.evaluations()),
                ]
                for file in files
            ]
            steps = [0, *(each["step"] for each in files[0].evaluations())]
            axis.plot(steps, np.mean(curves, axis=0), color=f"C{color}", label=METHODS[method].label)
        axis.set_title(kind.replace(":", "\n"), fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    figure.supxlabel("step")
    figure.supylabel("share of the held-out answers that meet it, mean over seeds")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[-1].legend(handles, labels, loc="center", fontsize=8)
    _save(figure, out)


def _save(figure: Figure, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, metadata={"Software": None})

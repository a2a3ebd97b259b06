"""The report's figures. Colors and markers say who a method belongs to, and are the same in all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiment import statistics as stats
from experiment import tasks
from experiment.cells import Cells
from experiment.grid import PROTOTYPES, TASKS
from experiment.methods import METHODS

BASELINES = ("grpo", "gdpo")
COLORS = {"baseline": "#6b7280", "paper": "#2563eb", "ours": "#d97706"}
CURVES = ("grpo", "gdpo", "rising", "k2", "k5", "guarded5")
CURVE_COLORS = ("#111827", "#6b7280", "#7c3aed", "#2563eb", "#0d9488", "#d97706")
SETTINGS = {
    "grpo": ("#111827", "o"), "gdpo": ("#6b7280", "s"), "k0.5": ("#93c5fd", "v"), "k2": ("#2563eb", "^"),
    "k5": ("#1e3a8a", "D"), "adaptive": ("#0d9488", "<"), "guarded2": ("#f59e0b", "P"), "guarded5": ("#b45309", "X"),
}  # fmt: skip


def overview(cells: Cells, path: Path) -> None:
    """Share meeting all constraints of every method on every task, with 95% intervals and each checkpoint."""
    found = [task for task in TASKS if cells.methods(task)]
    methods = [n for n in METHODS if n not in PROTOTYPES and any(cells(task, n) for task in found)]
    figure = _figure(3.1 * len(found) + 2.2, 0.27 * len(methods) + 1.3)
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    rows = np.arange(len(methods))[::-1]
    for axis, task in zip(axes, found, strict=True):
        for row, name in zip(rows, methods, strict=True):
            runs = cells(task, name)
            if not runs:
                continue
            color = COLORS[_kind(name)]
            value = stats.bootstrap_met(runs)
            axis.plot([value.low, value.high], [row, row], color=color, linewidth=2.2, solid_capstyle="round")
            axis.plot(value.mean, row, "o", color=color, markersize=6, zorder=3)
            for checkpoint in sorted({result.run.checkpoint for result in runs}):
                mean = np.mean([stats.met(r) for r in runs if r.run.checkpoint == checkpoint])
                axis.plot(mean, row, "|", color=color, markersize=9, alpha=0.55)
        axis.set_title(task, fontsize=11)
        axis.set_xlim(-0.04, 1.04)
        axis.set_xlabel("share meeting all constraints", fontsize=9)
        axis.grid(axis="x", alpha=0.25)
        _plain(axis)
    axes[0].set_yticks(rows, [METHODS[name].label for name in methods], fontsize=9)
    handles = [_handle(axes[0], color) for color in COLORS.values()]
    figure.legend(handles, list(COLORS), loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    _save(figure, path)


def curves(cells: Cells, task: str, path: Path) -> None:
    """Each reward on held-out prompts over training, mean of the runs, and the share meeting all."""
    names = list(tasks.task(task).rewards)
    shown = [i for i, name in enumerate(names) if not name.startswith("judge") or name == "judge_0"]
    panels = len(shown) + 1
    columns = 4 if panels > 6 else (panels + 1) // 2
    figure = _figure(2.9 * columns, 2.5 * 2 + 0.5)
    axes = figure.subplots(2, columns, squeeze=False).flatten()
    for extra in axes[panels:]:
        extra.remove()
    handles, labels = [], []
    for method, color in zip(CURVES, CURVE_COLORS, strict=True):
        runs = cells(task, method)
        if not runs:
            continue
        steps = runs[0].outcome.steps
        for axis, index in zip(axes, shown, strict=False):
            _curve(axis, steps, np.array([[e[index] for e in run.outcome.rewards] for run in runs]), color)
        line = _curve(axes[len(shown)], steps, np.array([run.outcome.met for run in runs]), color)
        handles.append(line)
        labels.append(METHODS[method].label)
    for axis, index in zip(axes, shown, strict=False):
        axis.set_title("each judge" if names[index] == "judge_0" else names[index], fontsize=10)
    axes[len(shown)].set_title("meets all constraints", fontsize=10, fontweight="bold")
    for axis in axes[:panels]:
        axis.grid(alpha=0.25)
        _plain(axis)
        axis.tick_params(labelsize=8)
    figure.supxlabel("step", fontsize=9)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    _save(figure, path)


def settings(cells: Cells, panels: Sequence[tuple[str, str, str, Sequence[float]]], path: Path) -> None:
    """Share meeting all constraints against one setting: panels of (title, task, setting, values)."""
    figure = _figure(3.6 * len(panels), 3.4)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    drawn = {}
    for axis, (title, task, name, values) in zip(axes, panels, strict=True):
        found = cells.by_setting(task, name, values)
        for method, (color, marker) in SETTINGS.items():
            if not all(found.get(method, [[]])):
                continue
            intervals = [stats.bootstrap_met(runs) for runs in found[method]]
            positions = range(len(values))
            low = [value.mean - value.low for value in intervals]
            high = [value.high - value.mean for value in intervals]
            drawn[METHODS[method].label] = axis.errorbar(
                positions, [value.mean for value in intervals], yerr=[low, high],
                color=color, marker=marker, markersize=5, capsize=2, linewidth=1.4,
            )  # fmt: skip
        if not axis.containers:
            axis.text(0.5, 0.5, "no such runs", transform=axis.transAxes, ha="center", color="#6b7280")
        axis.set_xticks(range(len(values)), [str(value) for value in values])
        axis.set_title(title, fontsize=10)
        axis.set_ylim(-0.04, 1.04)
        axis.grid(alpha=0.25)
        _plain(axis)
    axes[0].set_ylabel("share meeting all constraints", fontsize=9)
    figure.legend(
        drawn.values(), drawn.keys(), loc="outside upper center", ncols=len(drawn), frameon=False, fontsize=9
    )
    _save(figure, path)


def _curve(axis: Axes, steps: Sequence[int], values_RE: np.ndarray, color: str) -> Line2D:
    smooth = np.stack([stats.smooth(values[:, None])[:, 0] for values in values_RE])
    mean, error = smooth.mean(axis=0), smooth.std(axis=0) / max(len(smooth), 1) ** 0.5
    axis.fill_between(steps, mean - error, mean + error, color=color, alpha=0.15, linewidth=0)
    return axis.plot(steps, mean, color=color, linewidth=1.6)[0]


def _kind(name: str) -> str:
    if name in BASELINES:
        return "baseline"
    return "paper" if METHODS[name].paper else "ours"


def _handle(axis: Axes, color: str) -> Line2D:
    return axis.plot([], [], "o-", color=color)[0]


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date and a version the same results give the same bytes.
    figure.savefig(path, metadata={"Software": None})

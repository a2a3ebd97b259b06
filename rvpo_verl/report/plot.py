"""Curves of every reward, and of k, from the JSONL files of verl's file logger."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rvpo_verl.errors import UserError
from rvpo_verl.report.logs import SCORE, Curve, labels, read_curves, trained, validated

K = "rvpo/k"
CONSTANT = "rvpo/constant_groups/share"
COLUMNS = 3
MARKERS = "osD^vP"


@dataclass(frozen=True)
class Run:
    label: str
    trained: dict[str, Curve]
    """Mean of each reward in training, by name."""
    validated: dict[str, dict[str, Curve]]
    """The same on validation prompts, by name and data source."""
    k: Curve
    constant: Curve
    """Share of groups in which no reward varies."""


def plot(logs: Sequence[Path], out: Path) -> None:
    """Draws a PNG: a panel for each reward, one for k, one for the share of constant groups.

    Raises:
        UserError: a log has no steps, or no metrics of RVPO in them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    runs = [_read(log, label) for log, label in zip(logs, labels(logs), strict=True)]
    rewards = list(dict.fromkeys(name for run in runs for name in run.trained))
    rewards = rewards or list(dict.fromkeys(name for run in runs for name in run.validated))
    extras = {"k": [run.k for run in runs], "constant groups": [run.constant for run in runs]}
    extras = {title: curves for title, curves in extras.items() if any(curves)}

    panels = len(rewards) + len(extras)
    columns = min(COLUMNS, panels) if panels != 4 else 2
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(4.2 * columns, 2.7 * rows + 0.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for unused in axes[panels:]:
        unused.remove()
    colors = [f"C{index % 10}" for index in range(len(runs))]
    sources = list(
        dict.fromkeys(source for run in runs for name in rewards for source in run.validated.get(name, {}))
    )

    for axis, name in zip(axes, rewards, strict=False):
        axis.set_title(name)
        for run, color in zip(runs, colors, strict=True):
            _line(axis, run.trained.get(name, []), color=color)
            for source, curve in run.validated.get(name, {}).items():
                marker = MARKERS[sources.index(source) % len(MARKERS)]
                _line(axis, curve, color=color, linestyle="--", marker=marker, markersize=4.5, linewidth=1)
    for axis, (title, curves) in zip(axes[len(rewards) :], extras.items(), strict=False):
        axis.set_title(title)
        for curve, color in zip(curves, colors, strict=True):
            _line(axis, curve, color=color)
        axis.set_ylim(bottom=0)  # neither is negative, and a constant k should not be scaled to its rounding
    for index, axis in enumerate(axes[:panels]):
        axis.title.set_fontsize(10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.25)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        if index + columns >= panels:
            axis.set_xlabel("step", fontsize=9)
    _legend(figure, runs, colors, sources)
    figure.savefig(out, format="png")


def _legend(figure: Any, runs: list[Run], colors: list[str], sources: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, label=run.label, linewidth=2)
        for run, color in zip(runs, colors, strict=True)
    ]
    for index, source in enumerate(sources):
        marker = MARKERS[index % len(MARKERS)]
        label = f"validation: {source}"
        handles.append(
            Line2D(
                [], [], color="0.4", linestyle="--", marker=marker, markersize=4.5, linewidth=1, label=label
            )
        )
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False, fontsize=9
    )


def _line(axis: Any, curve: Curve, **style: Any) -> None:
    if curve:
        single = {"marker": "o", "markersize": 4} if len(curve) == 1 else {}
        axis.plot(*zip(*curve, strict=True), **{"linewidth": 1.6, **single, **style})


def _read(log: Path, label: str) -> Run:
    curves = read_curves(log)
    in_training = trained(curves)
    in_validation = {name: sources for name, sources in validated(curves).items() if name != SCORE}
    if not in_training and not in_validation:
        found = ", ".join(list(curves)[:12]) + (", ..." if len(curves) > 12 else "")
        raise UserError(
            f"{log}: none of its {len(curves)} metrics is rvpo/NAME/mean or val-aux/SOURCE/NAME/mean@N; found: {found}"
        )
    return Run(label, in_training, in_validation, curves.get(K, []), curves.get(CONSTANT, []))

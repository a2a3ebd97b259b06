"""Draws a comparison: the score of each log with its interval, overall and by group."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rvpo_verl.evaluation.comparison import Comparison, Row
from rvpo_verl.evaluation.paired import LEVEL

WIDTH = 4.6
ROW_HEIGHT = 0.2
"""Inches per log and group."""


def draw(comparisons: Sequence[Comparison], out: Path) -> None:
    """Writes a PNG with a line of panels per task and a panel per kind of group."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [_panels(comparison) for comparison in comparisons]
    columns = max(map(len, panels))
    logs = len(comparisons[0].labels)
    heights = [max(max(len(rows) for _, rows in line) * (logs + 1), 6) * ROW_HEIGHT + 0.7 for line in panels]
    figure = Figure(figsize=(WIDTH * columns, sum(heights) + 0.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for comparison, line, line_axes in zip(comparisons, panels, axes, strict=True):
        for axis in line_axes[len(line) :]:
            axis.remove()
        for (kind, rows), axis in zip(line, line_axes, strict=False):
            title = f"{comparison.task} by {kind}" if kind else comparison.task
            axis.set_title(f"{title}, n = {comparison.samples}", fontsize=10)
            _panel(axis, rows, logs)
    figure.legend(
        *_handles(comparisons[0].labels),
        loc="outside upper center",
        ncols=min(4, logs),
        frameon=False,
        fontsize=9,
    )
    figure.savefig(out, format="png")


def _panels(comparison: Comparison) -> list[tuple[str, list[Row]]]:
    """Overall is at the top of the first kind's panel."""
    kinds = {kind: list(rows) for kind, rows in groupby(comparison.rows, key=lambda row: row.kind)}
    overall = kinds.pop("")
    first, *others = kinds.items() if kinds else [("", [])]
    return [(first[0], overall + first[1]), *others]


def _panel(axis: Any, rows: Sequence[Row], logs: int) -> None:
    for index, row in enumerate(rows):
        for log, score in enumerate(row.compared.scores):
            height = index + (log - (logs - 1) / 2) / (logs + 1)
            axis.plot([score.low, score.high], [height, height], color=f"C{log % 10}", linewidth=1.6)
            axis.plot([score.value], [height], color=f"C{log % 10}", marker="o", markersize=4.5)
    names = [
        f"{row.name.replace('_', ' ')}{'*' if any(p < 1 - LEVEL for p in row.p_values) else ''}"
        for row in rows
    ]
    axis.set_yticks(range(len(rows)), names)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel(f"score, {LEVEL:.0%} interval; * differs from the first, p < {1 - LEVEL:.2f}", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", alpha=0.25)
    axis.tick_params(labelsize=8)


def _handles(labels: Sequence[str]) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=f"C{log % 10}", marker="o", markersize=4.5, linewidth=1.6)
        for log in range(len(labels))
    ]
    return lines, list(labels)

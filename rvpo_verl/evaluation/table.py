"""A comparison as a table: on the console, and as Markdown."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.evaluation.comparison import Comparison, Row
from rvpo_verl.evaluation.paired import LEVEL, Interval


def show(comparison: Comparison, console: Console) -> None:
    """A line for each log, so that any number of them fits on a terminal."""
    table = Table(title=_title(comparison), title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("", "samples", "log", "score", f"difference to {comparison.labels[0]}", "p"):
        right = column not in ("", "log")
        table.add_column(escape(column), justify="right" if right else "left", overflow="fold")
    for row in comparison.rows:
        lines = zip(
            comparison.labels, row.compared.scores, ["", *_differences(row)], ["", *_ps(row)], strict=True
        )
        for index, (label, score, difference, p) in enumerate(lines):
            name, samples = (
                (row.name.replace("_", " "), str(row.compared.samples)) if index == 0 else ("", "")
            )
            significant = index > 0 and row.p_values[index - 1] < 1 - LEVEL
            table.add_row(
                *map(escape, (name, samples, label, _bracketed(score, ".3f"), difference, p)),
                style="bold" if significant else None,
                end_section=index == len(comparison.labels) - 1,
            )
    console.print(table)


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    return "\n\n".join(_markdown(comparison) for comparison in comparisons) + "\n"


def _markdown(comparison: Comparison) -> str:
    header = _header(comparison)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *(_cells(row) for row in comparison.rows)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    warnings = "".join(f"\n\nWarning: {warning}." for warning in comparison.warnings)
    return f"## {_title(comparison)}\n\n{table}\n\n{_explained(comparison)}{warnings}"


def _title(comparison: Comparison) -> str:
    epochs = f", {comparison.answers} answers" if comparison.answers != comparison.samples else ""
    return f"{comparison.task}: {comparison.samples} samples paired{epochs}"


def _explained(comparison: Comparison) -> str:
    first, others = comparison.labels[0], comparison.labels[1:]
    corrected = ", corrected by Holm's method for the logs of a row" if len(others) > 1 else ""
    return (
        f"In brackets {LEVEL:.0%} intervals, paired bootstrap over samples. Differences to {first}; p two-sided"
        f"{corrected}, not for the number of rows."
    )


def _header(comparison: Comparison) -> list[str]:
    first, *others = comparison.labels
    differences = [column for other in others for column in (f"{other} − {first}", "p")]
    return ["", "samples", *comparison.labels, *differences]


def _cells(row: Row) -> list[str]:
    differences = [cell for pair in zip(_differences(row), _ps(row), strict=True) for cell in pair]
    scores = [_bracketed(score, ".3f") for score in row.compared.scores]
    name = f"{row.kind} {row.name}".strip().replace("_", " ")
    return [name, str(row.compared.samples), *scores, *differences]


def _differences(row: Row) -> list[str]:
    return [_bracketed(difference.interval, "+.3f") for difference in row.compared.differences]


def _ps(row: Row) -> list[str]:
    return [f"{p:.3f}" if p >= 0.001 else "< 0.001" for p in row.p_values]


def _bracketed(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"

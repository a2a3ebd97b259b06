"""A comparison as a table: on the console, and as Markdown."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.evaluation.comparison import Comparison, Row
from rvpo_verl.evaluation.paired import LEVEL, Interval


def show(comparison: Comparison, console: Console) -> None:
    table = Table(title=_title(comparison), title_justify="left", box=box.SIMPLE_HEAD)
    header = _header(comparison)
    for index, column in enumerate(header):
        first = index == 0
        table.add_column(escape(column), justify="left" if first else "right", overflow="fold", no_wrap=first)
    for row, after in zip(comparison.rows, [*comparison.rows[1:], None], strict=True):
        significant = any(p < 1 - LEVEL for p in row.p_values)
        table.add_row(
            *map(escape, [row.name.replace("_", " "), *_cells(row)[1:]]),
            style="bold" if significant else None,
            end_section=after is not None and after.kind != row.kind,
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
    compared = row.compared
    differences = [
        cell
        for difference, p in zip(compared.differences, row.p_values, strict=True)
        for cell in (_bracketed(difference.interval, "+.3f"), f"{p:.3f}" if p >= 0.001 else "< 0.001")
    ]
    scores = [_bracketed(score, ".3f") for score in compared.scores]
    return [f"{row.kind} {row.name}".strip().replace("_", " "), str(compared.samples), *scores, *differences]


def _bracketed(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"

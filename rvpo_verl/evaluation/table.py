"""A comparison as a table: for a terminal, and as Markdown. One line per log, so any number of logs fits."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from rvpo_verl.evaluation.comparison import Comparison, Row
from rvpo_verl.evaluation.paired import LEVEL, Interval


def as_table(comparison: Comparison) -> Table:
    table = Table(title=_title(comparison), title_justify="left", box=box.SIMPLE_HEAD)
    for column in _columns(comparison):
        right = column not in ("", "log")
        table.add_column(escape(column), justify="right" if right else "left", overflow="fold")
    for row in comparison.rows:
        for index, cells in enumerate(_lines(comparison, row)):
            significant = index > 0 and row.p_values[index - 1] < 1 - LEVEL
            table.add_row(*map(escape, cells), style="bold" if significant else None)
        table.add_section()
    return table


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    return "\n\n".join(map(_markdown, comparisons)) + "\n"


def _markdown(comparison: Comparison) -> str:
    lines = [_columns(comparison), ["---", "---:", "---", "---:", "---:", "---:"]]
    lines += (cells for row in comparison.rows for cells in _lines(comparison, row))
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    corrected = ", corrected by Holm's method for the logs of a row" if len(comparison.labels) > 2 else ""
    legend = (
        f"In brackets {LEVEL:.0%} intervals, paired bootstrap over samples. p is two-sided{corrected}, not for the "
        "number of rows."
    )
    warnings = "".join(f"\n\nWarning: {warning}." for warning in comparison.warnings)
    return f"## {_title(comparison)}\n\n{table}\n\n{legend}{warnings}"


def _title(comparison: Comparison) -> str:
    epochs = f", {comparison.answers} answers" if comparison.answers != comparison.samples else ""
    return f"{comparison.task}: {comparison.samples} samples paired{epochs}"


def _columns(comparison: Comparison) -> list[str]:
    return ["", "samples", "log", "score", f"difference to {comparison.labels[0]}", "p"]


def _lines(comparison: Comparison, row: Row) -> Iterator[list[str]]:
    name = [f"{row.kind} {row.name}".strip().replace("_", " "), str(row.compared.samples)]
    differences = [_bracketed(each.interval, "+.3f") for each in row.compared.differences]
    p_values = [f"{p:.3f}" if p >= 0.001 else "< 0.001" for p in row.p_values]
    for label, score, difference, p in zip(
        comparison.labels, row.compared.scores, ["", *differences], ["", *p_values], strict=True
    ):
        yield [*name, label, _bracketed(score, ".3f"), difference, p]
        name = ["", ""]


def _bracketed(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"

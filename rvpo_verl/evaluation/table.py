"""Comparisons as tables: for a terminal, and as Markdown. One line per log, so any number of logs fits."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from rvpo_verl.evaluation.comparison import Comparison, Row
from rvpo_verl.evaluation.paired import LEVEL, Interval


def as_table(comparison: Comparison) -> Table:
    return _table(_title(comparison), [(comparison, row, None) for row in comparison.rows])


def score_card(comparisons: Sequence[Comparison]) -> Table:
    """The score of every task, without its groups."""
    return _table("Score card", list(_overall(comparisons)))


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    card = f"## Score card\n\n{_markdown_table(list(_overall(comparisons)))}\n\n"
    return (card if len(comparisons) > 1 else "") + "\n\n".join(map(_markdown, comparisons)) + "\n"


Line = tuple[Comparison, Row, str | None]
"""A row of a comparison, and its name, if it is not the row's own."""


def _overall(comparisons: Sequence[Comparison]) -> Iterator[Line]:
    for comparison in comparisons:
        yield comparison, comparison.rows[0], comparison.task


def _table(title: str, lines: Sequence[Line]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    columns = _columns(lines[0][0])
    for column in columns:
        right = column not in ("", "log")
        table.add_column(escape(column), justify="right" if right else "left", overflow="fold")
    for comparison, row, name in lines:
        for index, cells in enumerate(_lines(comparison, row, name)):
            significant = index > 0 and row.p_values[index - 1] < 1 - LEVEL
            table.add_row(*map(escape, cells[: len(columns)]), style="bold" if significant else None)
        table.add_section()
    return table


def _markdown_table(lines: Sequence[Line]) -> str:
    columns = _columns(lines[0][0])
    cells = [columns, ["---" if column in ("", "log") else "---:" for column in columns]]
    cells += (each[: len(columns)] for line in lines for each in _lines(*line))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells)


def _markdown(comparison: Comparison) -> str:
    table = _markdown_table([(comparison, row, None) for row in comparison.rows])
    corrected = ", corrected by Holm's method for the logs of a row" if len(comparison.labels) > 2 else ""
    p_value = f" p is two-sided{corrected}, not for the number of rows." if len(comparison.labels) > 1 else ""
    legend = f"In brackets {LEVEL:.0%} intervals, paired bootstrap over samples.{p_value}"
    warnings = "".join(f"\n\nWarning: {warning}." for warning in comparison.warnings)
    return f"## {_title(comparison)}\n\n{table}\n\n{legend}{warnings}"


def _title(comparison: Comparison) -> str:
    epochs = f", {comparison.answers} answers" if comparison.answers != comparison.samples else ""
    paired = " paired" if len(comparison.labels) > 1 else ""
    return f"{comparison.task}: {comparison.samples} samples{paired}{epochs}"


def _columns(comparison: Comparison) -> list[str]:
    difference = [f"difference to {comparison.labels[0]}", "p"] if len(comparison.labels) > 1 else []
    return ["", "samples", "log", "score", *difference]


def _lines(comparison: Comparison, row: Row, name: str | None) -> Iterator[list[str]]:
    first = [name or f"{row.kind} {row.name}".strip().replace("_", " "), str(row.compared.samples)]
    differences = [_bracketed(each.interval, "+.3f") for each in row.compared.differences]
    p_values = [f"{p:.3f}" if p >= 0.001 else "< 0.001" for p in row.p_values]
    for label, score, difference, p in zip(
        comparison.labels, row.compared.scores, ["", *differences], ["", *p_values], strict=True
    ):
        yield [*first, label, _bracketed(score, ".3f"), difference, p]
        first = ["", ""]


def _bracketed(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"

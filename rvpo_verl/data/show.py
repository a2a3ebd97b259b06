"""The report on rows, for a terminal."""

import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.data.polarity import GOOD
from rvpo_verl.data.rows import Row, rubric

SHOWN = 160
"""Characters of an example."""
BAR = 40
"""Width of the longest bar of a histogram."""
BINS = 14
SHORT = ("split", "category", "count", "weight", "if true")
"""Columns that are not broken into lines."""


def show(console: Console, told: Mapping[str, Any], example: Row) -> None:
    """Prints what `report.report` gave, and one row."""
    _show_splits(console, told["splits"])
    _show_categories(console, told["splits"])
    _show_histograms(console, told["splits"])
    if told["pitfalls"]:
        _show_pitfalls(console, told["pitfalls"])
    show_findings(console, told["findings"])
    show_row(console, example)


def _show_splits(console: Console, splits: Mapping[str, Any]) -> None:
    table = _table(
        "Rows", "split", "read", "kept", "criteria per prompt", "characters per prompt", "reference"
    )
    for split, figures in splits.items():
        size, length = figures["criteria_per_prompt"], figures["prompt_characters"]
        table.add_row(
            escape(split),
            str(figures["rows_read"]),
            str(figures["rows"]),
            f"{size['mean']:.1f} ({size['min']}–{size['max']})",
            f"median {length['median']:.0f}, 95% {length['p95']:.0f}, max {length['max']}",
            f"{figures['with_reference_answer'] / figures['rows']:.0%}",
        )
    console.print(table)


def _show_categories(console: Console, splits: Mapping[str, Any]) -> None:
    table = _table(
        "Criteria", "split", "category", "criteria", "share", "good if true", "bad if true", "weight"
    )
    for split, figures in splits.items():
        for category, of in figures["categories"].items():
            weight = of["weight"]
            spread = f" ({weight['min']:g}–{weight['max']:g})" if weight["min"] != weight["max"] else ""
            table.add_row(
                escape(split),
                escape(category or "(none)"),
                str(of["count"]),
                f"{of['share']:.0%}",
                str(of["good_if_true"]),
                str(of["bad_if_true"]),
                f"{weight['mean']:.2g}{spread}",
            )
    console.print(table)


def _show_histograms(console: Console, splits: Mapping[str, Any]) -> None:
    for split, figures in splits.items():
        table = _table(f"Criteria per prompt, {split}", "criteria", "prompts", "")
        bins = _binned({int(size): n for size, n in figures["criteria_per_prompt"]["histogram"].items()})
        for sizes, count in bins.items():
            table.add_row(sizes, str(count), "█" * round(BAR * count / max(bins.values())))
        console.print(table)


def _binned(histogram: Mapping[int, int]) -> dict[str, int]:
    """At most `BINS` bins of equal width, by the sizes they cover."""
    low, high = min(histogram), max(histogram)
    width = math.ceil((high - low + 1) / BINS)
    bins = {}
    for start in range(low, high + 1, width):
        sizes = range(start, start + width)
        name = str(start) if width == 1 else f"{start}–{min(sizes[-1], high)}"
        bins[name] = sum(histogram.get(size, 0) for size in sizes)
    return bins


def _show_pitfalls(console: Console, pitfalls: list[Mapping[str, Any]]) -> None:
    table = _table("How pitfalls were read", "the wording", "if true", "count", "first")
    verdict = {GOOD: "[green]good[/green]", None: "[yellow]?[/yellow]"}
    for reading in pitfalls:
        table.add_row(
            escape(reading["meaning"]),
            verdict.get(reading["polarity"], "[red]bad[/red]"),
            str(reading["count"]),
            escape(_cut(reading["example"])),
        )
    console.print(table)


def show_findings(console: Console, findings: list[Mapping[str, Any]]) -> None:
    if not findings:
        console.print("[green]Nothing was wrong with the data.[/green]")
        return
    table = _table("Findings", "what", "count", "handled", "first", "")
    for finding in findings:
        table.add_row(
            escape(finding["what"]),
            str(finding["count"]),
            escape(finding["handled"]),
            escape(finding["where"]),
            escape(_cut(finding["example"])),
        )
    console.print(table)


def show_row(console: Console, row: Row) -> None:
    info = row["extra_info"]
    console.print(
        f"\n[bold]{escape(row['data_source'])}, {escape(info['split'])}, index {info['index']}[/bold]"
    )
    for message in row["prompt"]:
        console.print(
            f"[bold]{escape(message['role'])}[/bold]: {escape(_cut(message['content'], 4 * SHOWN))}",
            soft_wrap=True,
            highlight=False,
        )
    if reference := row["reward_model"]["ground_truth"]:
        console.print(f"[bold]reference[/bold]: {escape(_cut(reference))}", soft_wrap=True, highlight=False)
    table = _table("", "criterion", "category", "weight", "if true")
    for criterion in rubric(row):
        good = criterion["polarity"] == GOOD
        table.add_row(
            escape(_cut(criterion["criterion"], 2 * SHOWN)),
            escape(criterion["category"]),
            f"{criterion['weight']:g}",
            "[green]good[/green]" if good else "[red]bad[/red]",
        )
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in SHORT)
    return table


def _cut(text: str, characters: int = SHOWN) -> str:
    text = " ".join(text.split())
    return text if len(text) <= characters else f"{text[: characters - 1]}…"

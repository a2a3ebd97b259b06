"""The report on rows as tables for a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rvpo_verl.data.polarity import GOOD
from rvpo_verl.data.rows import Row, rubric

EXAMPLE_LENGTH = 160
"""Characters."""
BAR_WIDTH = 40
"""Characters of the longest bar of a histogram."""
BINS = 14
UNBROKEN = ("split", "category", "count", "weight", "if true")
"""Columns whose cells stay on one line."""
IF_TRUE = {GOOD: Text("good", "green"), -GOOD: Text("bad", "red"), None: Text("?", "yellow")}


def show(report: Mapping[str, Any], example: Row) -> Iterator[RenderableType]:
    """What `report.report` returned, and one row."""
    yield from show_statistics(report)
    yield from show_row(example)


def show_statistics(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    splits = report["splits"]
    yield _rows(splits)
    yield _categories(splits)
    for split, statistics in splits.items():
        yield _histogram(split, statistics["criteria_per_prompt"]["histogram"])
    if report["pitfalls"]:
        yield _table(
            "How pitfalls were read",
            ("the wording", "if true", "count", "first"),
            [
                (one["meaning"], IF_TRUE[one["polarity"]], one["count"], _cut(one["example"]))
                for one in report["pitfalls"]
            ],
        )
    yield show_findings(report["findings"])


def _rows(splits: Mapping[str, Any]) -> Table:
    lines = []
    for split, statistics in splits.items():
        size, length = statistics["criteria_per_prompt"], statistics["prompt_characters"]
        lines.append(
            (
                split,
                statistics["rows_read"],
                statistics["rows"],
                f"{size['mean']:.1f} ({size['min']}–{size['max']})",
                f"median {length['median']:.0f}, 95% {length['p95']:.0f}, max {length['max']}",
                f"{statistics['with_reference_answer'] / statistics['rows']:.0%}",
            )
        )
    columns = ("split", "read", "kept", "criteria per prompt", "characters per prompt", "reference")
    return _table("Rows", columns, lines)


def _categories(splits: Mapping[str, Any]) -> Table:
    lines = []
    for split, statistics in splits.items():
        for category, of in statistics["categories"].items():
            weight = of["weight"]
            spread = f" ({weight['min']:g}–{weight['max']:g})" if weight["min"] != weight["max"] else ""
            lines.append(
                (
                    split,
                    category or "(none)",
                    of["count"],
                    f"{of['share']:.0%}",
                    of["good_if_true"],
                    of["bad_if_true"],
                    f"{weight['mean']:.2g}{spread}",
                )
            )
    columns = ("split", "category", "criteria", "share", "good if true", "bad if true", "weight")
    return _table("Criteria", columns, lines)


def _histogram(split: str, histogram: Mapping[str, int]) -> Table:
    """At most `BINS` bins of equal width."""
    prompts = {int(size): count for size, count in histogram.items()}
    low, high = min(prompts), max(prompts)
    width = math.ceil((high - low + 1) / BINS)
    bins = {}
    for start in range(low, high + 1, width):
        sizes = range(start, start + width)
        name = str(start) if width == 1 else f"{start}–{min(sizes[-1], high)}"
        bins[name] = sum(prompts.get(size, 0) for size in sizes)
    most = max(bins.values())
    lines = [(name, count, "█" * round(BAR_WIDTH * count / most)) for name, count in bins.items()]
    return _table(f"Criteria per prompt, {split}", ("criteria", "prompts", ""), lines)


def show_findings(findings: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not findings:
        return Text("Nothing was wrong with the data.", "green")
    return _table(
        "Findings",
        ("what", "count", "handled", "first", ""),
        [(one["what"], one["count"], one["handled"], one["where"], _cut(one["example"])) for one in findings],
    )


def show_row(row: Row) -> Iterator[RenderableType]:
    info = row["extra_info"]
    yield Text(f"\n{row['data_source']}, {info['split']}, index {info['index']}", "bold")
    messages = [(message["role"], _cut(message["content"], 4 * EXAMPLE_LENGTH)) for message in row["prompt"]]
    if reference := row["reward_model"]["ground_truth"]:
        messages.append(("reference", _cut(reference)))
    for role, content in messages:
        yield Text.assemble((role, "bold"), ": ", content)
    yield _criteria(row)


def show_preview(row: Row, preview: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A row whole, and what `preview.previews` returned for it."""
    info = row.get("extra_info") or {}
    named = [str(row.get("data_source", "")), str(info.get("split", "")), f"index {info.get('index', '?')}"]
    yield Text(f"\n{', '.join(filter(None, named))}", "bold")
    tokens = f", {preview['tokens']} tokens" if preview["tokens"] is not None else ""
    yield Text(f"\nThe prompt{tokens}:", "bold")
    yield Text(preview["prompt"])
    if truth := row["reward_model"]["ground_truth"]:
        yield Text("\nThe reference:" if preview["kind"] == "rubric" else "\nThe ground truth:", "bold")
        yield Text(str(truth))
    if preview["kind"] == "rubric":
        yield _criteria(row)
    answers = preview["answers"]
    yield _table(
        "What answers would score",
        ("reward", *answers),
        [
            (name, *("missing" if of[name] is None else f"{of[name]:.3g}" for of in answers.values()))
            for name in next(iter(answers.values()))
        ],
    )


def _criteria(row: Row) -> Table:
    return _table(
        "",
        ("criterion", "category", "weight", "if true"),
        [
            (
                _cut(one["criterion"], 2 * EXAMPLE_LENGTH),
                one["category"],
                f"{one['weight']:g}",
                IF_TRUE[one["polarity"]],
            )
            for one in rubric(row)
        ],
    )


def _table(title: str, columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in UNBROKEN)
    for line in lines:
        table.add_row(*(cell if isinstance(cell, Text) else escape(str(cell)) for cell in line))
    return table


def _cut(text: str, characters: int = EXAMPLE_LENGTH) -> str:
    text = " ".join(text.split())
    return text if len(text) <= characters else f"{text[: characters - 1]}…"

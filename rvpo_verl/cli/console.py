"""What the commands print with: tables, warnings, errors, reports as JSON."""

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table


def new_table(*columns: str, title: str | None = None, show_header: bool = True) -> Table:
    """A table whose cells are broken into lines rather than cut off."""
    table = Table(
        title=title and f"[bold]{escape(title)}[/bold]",
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        show_header=show_header,
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_tables(*tables: RenderableType) -> None:
    console = Console()
    for table in tables:
        console.print(table)


def print_text(text: str) -> None:
    Console().print(escape(text), soft_wrap=True, highlight=False)


def print_warning(message: str) -> None:
    Console(stderr=True).print(f"[yellow]Warning:[/yellow] {escape(message)}", soft_wrap=True)


def print_error(message: str) -> None:
    Console(stderr=True).print(escape(message), style="red", soft_wrap=True, highlight=False)


def write_json(file: Path | None, report: Any) -> None:
    """Writes a report to `file`, if there is one, and says so."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print_text(f"{file}: the report")

"""Measures what has to be fast against a reference in the same run: `python scripts/bench.py all`.

The latest results are in scripts/bench.md; `--markdown` prints a section of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from benchmarks.rows import Row, markdown, show, write_json
from rich.console import Console

MEASUREMENTS = ("advantage", "scorers", "manager")


def bench(
    what: Annotated[
        Literal["advantage", "scorers", "manager", "all"],
        typer.Argument(
            help="advantage: the advantage step against verl's GDPO. scorers: the tool-calling rewards against "
            "verl's rlla.py. manager: what the reward manager adds to its reward functions. all: a few minutes."
        ),
    ],
    device: Annotated[str, typer.Option(help="Of advantage: cpu or cuda.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch; its default if left out.")
    ] = None,
    rlla: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="Of scorers: also score these rows in RLLA's schema (JSONL or parquet)."
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown for scripts/bench.md.")
    ] = False,
) -> None:
    """Measures one part, or all of them."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    results = {}
    for title in MEASUREMENTS if what == "all" else [what]:
        results[title] = _measure(title, device, rlla)
        show(title, results[title], Console(stderr=as_markdown))
    if as_markdown:
        print(markdown(results))
    if json is not None:
        write_json(results, json)


def _measure(title: str, device: str, rlla: Path | None) -> Sequence[Row]:
    # Imported here, so that each measurement loads only what it needs.
    if title == "advantage":
        from benchmarks import advantage

        return advantage.measure(device)
    if title == "scorers":
        from benchmarks import scorers

        return scorers.measure(rlla)
    from benchmarks import manager

    return manager.measure()


if __name__ == "__main__":
    typer.run(bench)

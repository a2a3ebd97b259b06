"""Measures what has to be fast against a reference in the same run: `python scripts/bench.py all`.

The latest results are in scripts/bench.md; `--markdown` prints a section of it. `bench.py compare` says what got
slower than in the commit of the kept figures, or than in REVISION, and ends with status 1 if anything did.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from benchmarks.rows import Row, markdown, show, use_processor_time, write_json
from rich.console import Console

MEASUREMENTS = ("advantage", "scaling", "trainer", "scorers", "manager", "compare")


def bench(
    what: Annotated[
        Literal["advantage", "scaling", "trainer", "scorers", "manager", "compare", "all"],
        typer.Argument(
            help="advantage: verl's whole call against its GDPO. scaling: how time and memory grow with the batch. "
            "trainer: fetching rewards from TransferQueue, validation. scorers: the tool-calling rewards against "
            "verl's rlla.py. manager: what the reward manager adds to its reward functions, rewards in threads and "
            "processes. compare: against an earlier revision. all: about ten minutes."
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Argument(help="Of compare: what git knows it by; that of the kept figures if left out."),
    ] = None,
    device: Annotated[str, typer.Option(help="Of advantage: cpu or cuda.")] = "cpu",
    clock: Annotated[
        Literal["wall", "processor"],
        typer.Option(help="processor: the time of one thread, for a machine that does other things too."),
    ] = "wall",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch; its default if left out.")
    ] = None,
    rlla: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="Of scorers: also score these rows in RLLA's schema (JSONL or parquet)."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Of compare: keep the figures, and this commit, to compare with.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown for scripts/bench.md.")
    ] = False,
) -> None:
    """Measures one part, or all of them."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if clock == "processor":
        use_processor_time()
    results = {}
    for title in MEASUREMENTS if what == "all" else [what]:
        results[title] = _measure(title, device, rlla, revision, keep)
        show(title, results[title], Console(stderr=as_markdown))
    if as_markdown:
        print(markdown(results))
    if json is not None:
        write_json(results, json)
    if what == "compare" and any(row.met is False for row in results["compare"]):
        raise typer.Exit(1)


def _measure(title: str, device: str, rlla: Path | None, revision: str | None, keep: bool) -> Sequence[Row]:
    # Imported here, so that each measurement loads only what it needs.
    if title == "advantage":
        from benchmarks import advantage

        return advantage.measure(device)
    if title == "scaling":
        from benchmarks import scaling

        return scaling.measure()
    if title == "trainer":
        from benchmarks import trainer

        return trainer.measure()
    if title == "scorers":
        from benchmarks import scorers

        return scorers.measure(rlla)
    if title == "compare":
        from benchmarks import compare

        rows, figures = compare.measure(revision)
        if keep:
            compare.keep(figures)
        return rows
    from benchmarks import manager

    return manager.measure()


if __name__ == "__main__":
    typer.run(bench)

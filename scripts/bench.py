"""Measures what has to be fast, against a peer in the same run: `python scripts/bench.py all`.

The last results are in scripts/bench.md; `--markdown` prints a section of it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from benchmarks.rows import Row, markdown, show, write_json
from rich.console import Console

Json = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown for scripts/bench.md.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of torch, if not as many as it chooses.")]
Rlla = Annotated[
    Path | None, typer.Option(exists=True, help="Rows in RLLA's schema (JSONL or parquet) to score too.")
]
Runs = Annotated[int, typer.Option(help="Pairs of interpreters.")]
Log = Annotated[Path | None, typer.Option(exists=True, help="metrics.jsonl of a launcher run with rvpo.")]

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def advantage(
    device: Device = "cpu", threads: Threads = None, json: Json = None, markdown: Markdown = False
) -> None:
    """The advantage step against verl's GDPO."""
    _use(threads)
    _report({"advantage": lambda: _advantage(device)}, json, markdown)


@app.command()
def scorers(rlla: Rlla = None, json: Json = None, markdown: Markdown = False) -> None:
    """The tool-calling rewards against verl's rlla.py."""
    _report({"scorers": lambda: _scorers(rlla)}, json, markdown)


@app.command()
def manager(json: Json = None, markdown: Markdown = False) -> None:
    """What the reward manager adds to its reward functions."""
    _report({"manager": _manager}, json, markdown)


@app.command("import")
def import_(runs: Runs = 7, json: Json = None, markdown: Markdown = False) -> None:
    """`import verl` with the plugin and without."""
    _report({"import": lambda: _import(runs)}, json, markdown)


@app.command()
def share(log: Log = None, json: Json = None, markdown: Markdown = False) -> None:
    """The advantage step as a share of a training step."""
    _report({"share of a step": lambda: _share(log)}, json, markdown)


@app.command("all")
def all_(
    device: Device = "cpu",
    threads: Threads = None,
    rlla: Rlla = None,
    runs: Runs = 7,
    log: Log = None,
    json: Json = None,
    markdown: Markdown = False,
) -> None:
    """Everything: some minutes."""
    _use(threads)
    measurements = {
        "advantage": lambda: _advantage(device),
        "scorers": lambda: _scorers(rlla),
        "manager": _manager,
        "import": lambda: _import(runs),
        "share of a step": lambda: _share(log),
    }
    _report(measurements, json, markdown)


# Each imports what it measures when its turn comes.


def _advantage(device: str) -> list[Row]:
    from benchmarks import advantage

    return advantage.measure(device)


def _scorers(rlla: Path | None) -> list[Row]:
    from benchmarks import scorers

    return scorers.measure(rlla)


def _manager() -> list[Row]:
    from benchmarks import manager

    return manager.measure()


def _import(runs: int) -> list[Row]:
    from benchmarks import imports

    return imports.measure(runs)


def _share(log: Path | None) -> list[Row]:
    from benchmarks import share

    return share.measure(log)


def _use(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _report(
    measurements: dict[str, Callable[[], Sequence[Row]]], json: Path | None, as_markdown: bool
) -> None:
    results = {}
    for title, measure in measurements.items():
        results[title] = measure()
        show(title, results[title], Console(stderr=as_markdown))
    if as_markdown:
        print(markdown(results))
    if json is not None:
        write_json(results, json)


if __name__ == "__main__":
    app()

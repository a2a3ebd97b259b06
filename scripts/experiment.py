"""A small version of the paper's comparison: `python scripts/experiment.py run`, `... confirm`, then `... report`."""

import os
import signal
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "outputs" / "experiment" / "results.jsonl"
KEPT = ROOT / "docs" / "data" / "experiment.jsonl.gz"
WORK_CONFIRMED = WORK.with_name("confirmed.jsonl")
KEPT_CONFIRMED = KEPT.with_name("experiment-confirmed.jsonl.gz")
BATCH = 32
"""Runs trained together: more save little and take memory."""

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
Out = Annotated[Path, typer.Option(help="Results; finished runs in it are not made again.")]

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def run(
    quick: Annotated[
        bool, typer.Option(help="Under a minute: three tasks, four methods, two seeds.")
    ] = False,
    grid: Annotated[str, typer.Option(help="main, side or all.")] = "all",
    out: Out = WORK,
    threads: Annotated[
        int, typer.Option(help="Threads of this process; small matrices gain little from more.")
    ] = 1,
) -> None:
    """Trains the runs that are not in OUT yet, a batch at a time."""
    import torch
    from experiment import grid as grids
    from experiment import loop, results, warm_up

    choices = {"all": grids.whole_grid, "main": grids.main_grid, "side": grids.side_grids}
    if grid not in choices:
        raise typer.BadParameter(f"{grid!r}; accepted: {', '.join(choices)}", param_hint="--grid")
    wanted = grids.quick_grid() if quick else choices[grid]()
    if quick and out == WORK:
        out = out.with_name("quick.jsonl")

    torch.set_num_threads(threads)
    finished = {result.run.key for result in results.read(out)}
    left = list({item.key: item for item in wanted if item.key not in finished}.values())
    typer.echo(f"{len(wanted) - len(left)} of {len(wanted)} runs are finished; results in {out}")
    if not left:
        return
    with Progress(*COLUMNS) as progress:
        warming = progress.add_task("warm-up", total=None)
        warm_up.checkpoints()
        progress.remove_task(warming)
        bar = progress.add_task("", total=sum(item.steps for item in left))
        for batch in batches(left):
            first = batch[0]
            progress.update(bar, description=f"{first.task}, {len(batch)} runs")
            outcomes = loop.train(batch, on_step=lambda: progress.advance(bar, len(batch)))  # noqa: B023
            results.append(out, batch, outcomes)


def batches(runs: list) -> list[list]:
    """Runs of one shape, in their order, at most BATCH together."""
    found = []
    for _, same in groupby(runs, key=lambda item: item.shape):
        same = list(same)
        found += [same[start : start + BATCH] for start in range(0, len(same), BATCH)]
    return found


@app.command()
def confirm(
    out: Out = WORK_CONFIRMED,
    limit: Annotated[
        int | None, typer.Option(help="Runs to make now; another call makes the others.", min=1)
    ] = None,
) -> None:
    """Trains the decisive cells through verl's launcher, one run after the other: four minutes each."""
    from experiment import grid, launcher, qwen, results

    # A signal that ends this process must end the launcher too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; finished runs are kept"))
    finished = {result.run.key for result in results.read(out)}
    wanted = grid.confirm_grid()
    left = [run for run in wanted if run.key not in finished]
    typer.echo(f"{len(wanted) - len(left)} of {len(wanted)} runs are finished; results in {out}")
    work = out.with_suffix("")
    with Progress(*COLUMNS) as progress:
        bar = progress.add_task("", total=sum(run.steps for run in left[:limit]))
        done = 0
        for run in left[:limit]:
            progress.update(bar, description=f"{run.task}, {run.method}, seed {run.seed}")
            policy = qwen.checkpoint(run.checkpoint, work)
            outcome = launcher.train(
                run,
                policy,
                work / f"{run.task}-{run.checkpoint}-{run.method}-{run.seed}",
                on_step=lambda step: progress.update(bar, completed=done + step),  # noqa: B023
            )
            results.append(out, [run], [outcome])
            done += run.steps


@app.command()
def report(
    results_file: Annotated[
        Path | None, typer.Option("--results", help="OUT of `run`; the kept results if left out.")
    ] = None,
    confirmed_file: Annotated[
        Path | None, typer.Option("--confirmed", help="OUT of `confirm`; the kept results if left out.")
    ] = None,
    docs: Annotated[Path, typer.Option(help="Folder of experiments.md and figures/.")] = ROOT / "docs",
    keep: Annotated[
        bool, typer.Option(help="Also store the results, compressed, beside the report.")
    ] = False,
) -> None:
    """Writes experiments.md and its figures from the finished runs."""
    from experiment import results
    from experiment.report import write

    source = results_file or KEPT
    found = results.read(source)
    if not found:
        raise typer.BadParameter(f"no finished runs in {source}; make them with `run`")
    confirmed = results.read(confirmed_file or KEPT_CONFIRMED)
    write(found, confirmed, docs)
    if keep:
        results.write_compressed(found, docs / "data" / KEPT.name)
        results.write_compressed(confirmed, docs / "data" / KEPT_CONFIRMED.name)
    typer.echo(f"{docs / 'experiments.md'}, {docs / 'figures'}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app()

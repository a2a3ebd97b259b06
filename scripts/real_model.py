"""RVPO on a pretrained model: `python scripts/real_model.py run --model FOLDER`, again and again; then `... report`."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "data" / "real-model"
CHECKPOINTS = ROOT / "outputs" / "real-model"

app = typer.Typer(add_completion=False, help=__doc__)
Results = Annotated[Path, typer.Option(help="Folder of a file for each run.")]


@app.command()
def run(
    model: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Hugging Face folder of the model.")
    ],
    results: Results = RESULTS,
    checkpoints: Annotated[
        Path, typer.Option(help="Folder for the state of the run in progress.")
    ] = CHECKPOINTS,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after the step that ends later than this.")
    ] = None,
) -> None:
    """Makes the runs that RESULTS does not have yet, one after the other. It may be stopped at any time."""
    import torch
    from real_model import grid
    from real_model.policy import Policy
    from real_model.results import File
    from real_model.training import train

    torch.set_num_threads(threads)
    end = None if minutes is None else time.monotonic() + 60 * minutes

    def go_on() -> bool:
        return end is None or time.monotonic() < end

    while go_on():
        chosen = grid.chosen_learning_rate(results)
        wanted = grid.learning_rate_runs() if chosen is None else grid.comparison_runs(chosen)
        left = [each for each in wanted if not File(results, each).finished()]
        if not left:
            typer.echo("every run is finished")
            return
        typer.echo(f"{time.strftime('%H:%M:%S')} {left[0].name}")
        policy = Policy(model, left[0].learning_rate)
        train(left[0], policy, File(results, left[0]), checkpoints / "run.pt", go_on=go_on)


@app.command()
def status(results: Results = RESULTS) -> None:
    """Which runs are finished, and how far the others are."""
    from real_model import grid
    from real_model.results import File

    rate = grid.chosen_learning_rate(results)
    runs = grid.learning_rate_runs() + ([] if rate is None else grid.comparison_runs(rate))
    for each in runs:
        file = File(results, each)
        typer.echo(
            f"{each.name}: {'finished' if file.finished() else f'{len(file.steps())} of {each.steps} steps'}"
        )
    if rate is None:
        typer.echo(
            f"then {len(grid.comparison_runs(0.0))} runs of {grid.STEPS} steps, with the best of these rates"
        )


@app.command()
def report(
    results: Results = RESULTS,
    docs: Annotated[Path, typer.Option(help="Folder of the report and of figures/.")] = ROOT / "docs",
) -> None:
    """Writes experiments-real-model.md from RESULTS, and says in it what is missing."""
    from real_model.report import write

    typer.echo(write(results, docs))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app()

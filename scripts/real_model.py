"""RVPO on a pretrained model: `python scripts/real_model.py run --model FOLDER`, again and again; then `... report`."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "data" / "real-model"
CHECKPOINTS = ROOT / "outputs" / "real-model"
WAIT_S = 10

app = typer.Typer(add_completion=False, help=__doc__)
Results = Annotated[Path, typer.Option(help="Folder of a file for each run.")]


@app.command()
def run(
    model: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Hugging Face folder of the model.")
    ],
    ifeval: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="IFEval's rows as JSON lines, answered after each run."
        ),
    ] = None,
    results: Results = RESULTS,
    checkpoints: Annotated[
        Path, typer.Option(help="Folder for the states of the runs in progress.")
    ] = CHECKPOINTS,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after the step that ends later than this.")
    ] = None,
) -> None:
    """Makes the runs that RESULTS does not have yet. It may be stopped at any time, and run several times at once."""
    import torch
    from real_model import grid
    from real_model.methods import METHODS
    from real_model.policy import Policy
    from real_model.prompts import benchmark
    from real_model.results import File, claimed
    from real_model.training import train

    torch.set_num_threads(threads)
    end = None if minutes is None else time.monotonic() + 60 * minutes

    def go_on() -> bool:
        return end is None or time.monotonic() < end

    while go_on():
        left = [each for each in grid.wanted(results) if not File(results, each).finished()]
        if not left:
            typer.echo("every run is finished")
            return
        for each in left:
            file, checkpoint = File(results, each), checkpoints / f"{each.name}.pt"
            with claimed(checkpoint.with_suffix(".lock")) as mine:
                if not mine or file.finished():
                    continue
                typer.echo(f"{time.strftime('%H:%M:%S')} {each.name}")
                untrained = Policy(model, 0.0) if METHODS[each.method].fluency else None
                policy = Policy(model, each.learning_rate, untrained=untrained)
                train(each, policy, file, checkpoint, go_on=go_on, benchmark=benchmark(ifeval))
                break
        else:
            time.sleep(WAIT_S)  # others make all that can be made now


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


@app.command("replay")
def replay_(
    model: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Hugging Face folder of the model.")
    ],
    demo: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="What `rvpo-verl demo --model` wrote.")
    ],
    results: Results = RESULTS,
) -> None:
    """Makes a demo's run again in the plain loop, on its answers, to compare the gradients with verl's."""
    from real_model.policy import Policy
    from real_model.replay import FILE, replay, write

    from rvpo_verl.cpu.model_demo import ANSWER_TOKENS, LEARNING_RATE

    policy = Policy(model, LEARNING_RATE, trained_layers=None)
    write(replay(policy, demo, "k2", ANSWER_TOKENS), results / FILE)
    typer.echo(results / FILE)


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

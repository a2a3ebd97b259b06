"""`rvpo-verl demo`: a tiny training on this machine's CPU."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rvpo_verl.cli.console import print_error


def demo(
    data: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Parquet in RLLA's schema, not generated tasks."),
    ] = None,
    estimator: Annotated[str, typer.Option(help="Advantage estimator: rvpo, gdpo or grpo.")] = "rvpo",
    aggregation: Annotated[str | None, typer.Option(help="Of rvpo; softmin if not given.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 20,
    seed: Annotated[int, typer.Option(help="Of data, policy and sampling.")] = 0,
    ranks: Annotated[int, typer.Option(min=1, help="Processes that train.")] = 1,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for logs, report and checkpoint.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="File for the figures.")
    ] = None,
) -> None:
    """Train a tiny tool-calling policy on this machine's CPU, through verl's own launcher."""
    import transformers

    from rvpo_verl.cli.demo_view import DemoProgress, print_result
    from rvpo_verl.cli.report import write_page
    from rvpo_verl.cpu.demo import LauncherError, run_demo
    from rvpo_verl.report.read import find_run

    transformers.logging.disable_progress_bar()  # one bar at a time
    console = Console(highlight=False, soft_wrap=True)
    try:
        with DemoProgress(console) as shown:
            result = run_demo(
                estimator=estimator,
                aggregation=aggregation,
                steps=steps,
                seed=seed,
                ranks=ranks,
                data=data,
                out=out,
                message=shown.message,
                progress=shown.progress,
            )
    except LauncherError as error:
        print_error(str(error))
        raise typer.Exit(1) from None
    print_result(console, result)
    folder = result.metrics.parent
    write_page([find_run(folder)], folder / "report.html")
    if json_file is not None:
        json_file.write_text(json.dumps(result.figures(), indent=2) + "\n")

"""`rvpo-verl demo`: a tiny training on this machine's CPU."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rvpo_verl.cli.console import print_error
from rvpo_verl.errors import UserError


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Parquet in RLLA's schema, not generated tasks; with --model, any rows.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Train a pretrained model instead: smollm2, or a Hugging Face folder. Half an hour."
        ),
    ] = None,
    rewards: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="With --model: YAML of the block under reward.rvpo.rewards."
        ),
    ] = None,
    estimator: Annotated[str, typer.Option(help="Advantage estimator: rvpo, gdpo or grpo.")] = "rvpo",
    aggregation: Annotated[str | None, typer.Option(help="Of rvpo; softmin if not given.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps: 20, with --model 40.")] = None,
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

    from rvpo_verl.cli.demo_view import DemoProgress, print_model_result, print_result
    from rvpo_verl.cli.report import write_page
    from rvpo_verl.cpu.demo import DemoResult, run_demo
    from rvpo_verl.cpu.launch import LauncherError
    from rvpo_verl.cpu.model_demo import ModelDemoResult, run_model_demo
    from rvpo_verl.report.read import find_run

    if rewards is not None and model is None:
        raise UserError("--rewards needs a model that can learn them: add --model smollm2, or --model FOLDER")
    if model is not None and ranks != 1:
        raise UserError(f"--ranks {ranks}: with --model there is one process that trains")

    transformers.logging.disable_progress_bar()  # one bar at a time
    console = Console(highlight=False, soft_wrap=True)
    try:
        with DemoProgress(console) as shown:
            common: dict[str, Any] = {
                "estimator": estimator,
                "aggregation": aggregation,
                "seed": seed,
                "data": data,
                "out": out,
                "message": shown.message,
                "progress": shown.progress,
            }
            result: DemoResult | ModelDemoResult
            if model is None:
                result = run_demo(steps=steps or 20, ranks=ranks, **common)
            else:
                result = run_model_demo(model, steps=steps or 40, rewards=rewards, **common)
    except LauncherError as error:
        print_error(str(error))
        raise typer.Exit(1) from None
    if isinstance(result, DemoResult):
        print_result(console, result)
    else:
        print_model_result(console, result)
    folder = result.metrics.parent
    write_page([find_run(folder)], folder / "report.html")
    if json_file is not None:
        json_file.write_text(json.dumps(result.figures(), indent=2) + "\n")

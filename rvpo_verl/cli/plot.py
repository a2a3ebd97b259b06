"""`rvpo-verl plot`: the curves of one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from rvpo_verl.cli.options import optional_packages


def plot(
    logs: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="JSONL files of verl's file logger, one a run."),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="PNG to write.")],
) -> None:
    """Draw the rewards and k of one or more runs."""
    from rvpo_verl.report import plot

    with optional_packages(["matplotlib"], "plotting", 'pip install "rvpo-verl[plot]"'):
        plot.plot(logs, out)

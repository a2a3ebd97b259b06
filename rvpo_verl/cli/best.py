"""`rvpo-verl best`: which checkpoint of a run to keep."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rvpo_verl.cli.console import new_table, print_tables
from rvpo_verl.errors import UserError


def best(
    logs: Annotated[
        list[Path],
        typer.Argument(
            exists=True, dir_okay=False, help="JSONL files of verl's file logger, of one run, oldest first."
        ),
    ],
    checkpoints: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Only steps with a global_step_N in this folder."),
    ] = None,
    link: Annotated[
        bool, typer.Option(help="Link best_by_sum and best_by_lowest to them, in that folder.")
    ] = False,
) -> None:
    """Name the best step of a run by the sum of its rewards and by its lowest reward."""
    from rvpo_verl.report.best import best_step, find_checkpoints, link_checkpoint

    if link and checkpoints is None:
        raise UserError("--link needs --checkpoints FOLDER, which holds what to link to")
    folders = None if checkpoints is None else find_checkpoints(checkpoints)
    found = best_step(logs, folders)
    table = new_table("best by", "step", "sum", "lowest of its range", "rewards")
    for criterion, candidate in (("sum", found.by_sum), ("lowest", found.by_lowest)):
        lowest = f"{candidate.lowest:.2f} {candidate.lowest_name}"
        rewards = ", ".join(f"{name} {value:.3f}" for name, value in candidate.rewards.items())
        table.add_row(criterion, str(candidate.step), f"{candidate.sum:.3f}", escape(lowest), escape(rewards))
        if link and folders is not None:
            link_checkpoint(folders[candidate.step], f"best_by_{criterion}")
    print_tables(table)

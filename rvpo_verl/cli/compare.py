"""`rvpo-verl compare`: checkpoints compared by their evaluation logs."""

from pathlib import Path
from typing import Annotated

import typer

from rvpo_verl.cli.console import print_error, print_tables, print_warning
from rvpo_verl.cli.options import optional_packages
from rvpo_verl.errors import UserError

INSTALLATION = (
    'pip install "rvpo-verl[eval]" (Python 3.11 or 3.12), or use .venv-eval/bin/rvpo-verl of scripts/eval.sh'
)


def compare(
    logs: Annotated[
        list[Path],
        typer.Argument(exists=True, help="Logs of inspect, or folders of them; the first is compared with."),
    ],
    out: Annotated[
        list[Path] | None, typer.Option(dir_okay=False, help="File to write, .md or .png; may be repeated.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    max_unread: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the judge's verdicts that may be unreadable; more ends with status 1.",
        ),
    ] = 1.0,
) -> None:
    """Show checkpoints' scores by their logs of scripts/eval.sh, with intervals, and compare them, paired by sample."""
    for file in out or ():
        if file.suffix not in (".md", ".png"):
            raise UserError(f"--out {file}: expected a file that ends in .md or .png")
    with optional_packages(["inspect_ai", "matplotlib", "scipy"], "comparing", INSTALLATION):
        from rvpo_verl.evaluation import comparison, table

        comparisons = comparison.compare_logs(logs, resamples=resamples, seed=seed)
        for one in comparisons:
            print_tables(table.as_table(one))
            for warning in one.warnings:
                print_warning(f"{one.task}: {warning}")
        if len(comparisons) > 1:
            print_tables(table.score_card(comparisons))
        for file in out or ():
            if file.suffix == ".md":
                file.write_text(table.as_markdown(comparisons), encoding="utf-8")
            else:
                from rvpo_verl.evaluation.figure import draw

                draw(comparisons, file)
    unread = {one.task: one.unread for one in comparisons if one.unread > max_unread}
    if unread:
        shares = ", ".join(f"{task} {share:.0%}" for task, share in unread.items())
        print_error(
            f"Too many of the judge's verdicts could not be read: {shares}; --max-unread allows {max_unread:.0%}. They "
            "count as not met, so these scores are too low. Raise JUDGE_MAX_TOKENS, or judge with another model"
        )
        raise typer.Exit(1)

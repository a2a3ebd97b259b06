"""`rvpo-verl report`: look inside a training."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rvpo_verl.errors import UserError

if TYPE_CHECKING:
    from rvpo_verl.report.content import Limits
    from rvpo_verl.report.read import RunFiles

RELOAD_SECONDS = 30


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of each run, as the recipes write it, or its file of verl's file logger."
        ),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="HTML to write.")] = Path("report.html"),
    serve: Annotated[
        bool, typer.Option(help="Serve the page on this machine while the run goes on.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --serve; 0 takes a free one.")] = 0,
    rollouts: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="trainer.rollout_data_dir, if elsewhere."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="trainer.validation_data_dir, likewise.")
    ] = None,
    judge_log: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The judge's log of calls, likewise.")
    ] = None,
    groups: Annotated[int, typer.Option(min=1, help="Groups of answers in the page, at most.")] = 2000,
    chars: Annotated[int, typer.Option(min=100, help="Characters of one text, at most.")] = 100_000,
) -> None:
    """Write a page that shows a training from inside: curves, conflicts, groups of answers."""
    from rvpo_verl.report.content import Limits
    from rvpo_verl.report.logs import labels
    from rvpo_verl.report.read import find_run

    if len(runs) > 1 and (rollouts or validation or judge_log):
        raise UserError("--rollouts, --validation and --judge-log belong to one run, and several are given")
    limits = Limits(groups, chars)

    def find() -> list["RunFiles"]:
        return [
            find_run(path, rollouts, validation, judge_log, label)
            for path, label in zip(runs, labels(runs), strict=True)
        ]

    found = find()
    if serve:
        _serve(find, limits, port)
        return
    write_page(found, out, limits)


def write_page(runs: Sequence["RunFiles"], out: Path, limits: "Limits | None" = None) -> None:
    """Writes the page and says what is in it."""
    from rvpo_verl.report.content import gather
    from rvpo_verl.report.page import render

    content = gather(list(runs), limits)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(content, _title(runs)), encoding="utf-8")
    for line in content.problems:
        typer.echo(f"{line}", err=True)
    typer.echo(
        f"{out}: {content.groups} groups, {content.answers} answers, {out.stat().st_size / 1e6:.1f} MB; "
        "open it in a browser"
    )


def _serve(find: Callable[[], list["RunFiles"]], limits: "Limits", port: int) -> None:
    from rvpo_verl.report.content import gather
    from rvpo_verl.report.page import render
    from rvpo_verl.report.serve import server

    def make() -> str:
        runs = find()
        return render(gather(runs, limits), _title(runs), RELOAD_SECONDS)

    with server(make, lambda: [path for run in find() for path in run.all], port) as running:
        typer.echo(f"http://127.0.0.1:{running.server_port} (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            running.serve_forever()


def _title(runs: Sequence["RunFiles"]) -> str:
    return ", ".join(run.label for run in runs)

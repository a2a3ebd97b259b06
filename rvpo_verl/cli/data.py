"""`rvpo-verl data`: rubric data sets and RLLA into verl's parquet, with a report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rvpo_verl.cli.console import new_table, print_tables, print_text, write_json
from rvpo_verl.cli.data_instructions import instructions
from rvpo_verl.cli.options import JsonFile, Mode
from rvpo_verl.data.options import Ambiguous, Duplicates, Shape, Weights
from rvpo_verl.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Rubric data sets and RLLA into verl's parquet, with a report.")
app.command()(instructions)


def _file(what: str) -> Any:
    return typer.Option(exists=True, dir_okay=False, help=f"{what}: .jsonl, .json, .parquet or .arrow.")


@app.command()
def prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            help="rar-medicine, rar-science, healthbench, or a name for your own data (with --shape)."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder for train.parquet, val.parquet and test.parquet; nothing is written without it.",
        ),
    ] = None,
    train: Annotated[Path | None, _file("Rows to train on")] = None,
    val: Annotated[Path | None, _file("Rows to validate on")] = None,
    test: Annotated[Path | None, _file("Rows to test on")] = None,
    hub: Annotated[
        str | None,
        typer.Option(help="Repository on the Hugging Face hub, in place of files and of the data set's own."),
    ] = None,
    shape: Annotated[Shape | None, typer.Option(help="Schema of your own data.")] = None,
    weights: Annotated[
        Weights | None,
        typer.Option(help="By importance (RaR's default), by the row's numbers (HealthBench's), or equal."),
    ] = None,
    polarity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS=good|bad",
            help="What it means if a pitfall that begins with WORDS is true. Repeatable.",
        ),
    ] = None,
    ambiguous: Annotated[
        Ambiguous, typer.Option(help="What to do with pitfalls that could be meant either way.")
    ] = Ambiguous.drop,
    duplicates: Annotated[
        Duplicates,
        typer.Option(help="Repeated criteria, and prompts of train that are repeated or evaluated on."),
    ] = Duplicates.drop,
    benchmark_as_train: Annotated[
        bool, typer.Option("--benchmark-as-train", help="Allow --train for rows in HealthBench's shape.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Turn a data set with rubrics into parquet for verl, and report what was found in it."""
    from rvpo_verl.data import prepare as preparing
    from rvpo_verl.data.options import Options, parse_openings
    from rvpo_verl.data.report import report
    from rvpo_verl.data.rows import write_rows
    from rvpo_verl.data.show import show
    from rvpo_verl.data.sources import Split

    files: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
    prepared = preparing.prepare(
        dataset,
        shape or preparing.shape_of(dataset),
        preparing.sources(dataset, files, hub),
        Options(weights, ambiguous, duplicates, parse_openings(polarity or []), benchmark_as_train),
    )
    summary = report(prepared.splits, prepared.findings, prepared.rows_read)
    print_tables(*show(summary, next(iter(prepared.splits.values()))[0]))
    if out is not None:
        for split, rows in prepared.splits.items():
            write_rows(rows, out / f"{split}.parquet")
            print_text(f"{out / split}.parquet: {len(rows)} rows")
    write_json(json_file, summary)


@app.command()
def preview(
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="Prepared rows, or your own rows in that format."),
    ],
    row: Annotated[int, typer.Option(min=1, help="Number of the row to show.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """Check rows for verl (docs/data.md) and show their contents: splits, criteria, weights, one row."""
    from rvpo_verl.data.prepare import inspect_rows
    from rvpo_verl.data.report import report
    from rvpo_verl.data.rows import read_rows
    from rvpo_verl.data.show import show

    by_file = {str(file): read_rows(file) for file in files}
    everything = [each for rows in by_file.values() for each in rows]
    if row > len(everything):
        raise UserError(f"--row {row}: there are {len(everything)} rows")
    splits, findings = inspect_rows(by_file)
    summary = report(splits, findings)
    print_tables(*show(summary, everything[row - 1]))
    write_json(json_file, summary)


@app.command()
def rlla(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="RLLA's train.parquet, or a raw file of it (JSONL)."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Parquet to write, of the rows that can be used.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Of the rewards that will read it.")] = Mode.robust,
    split: Annotated[str, typer.Option(help="Split of raw rows, which do not name one.")] = "train",
    drop_unoffered: Annotated[
        bool,
        typer.Option(
            "--drop-unoffered",
            help="Drop rows whose ground truth uses a tool or parameter that the prompt does not offer.",
        ),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Check the ground truths of RLLA against the rewards for tool calling, and write those they can read."""
    from dataclasses import asdict

    from rvpo_verl.data.rlla import check_rlla, read_rlla
    from rvpo_verl.data.show import show_findings
    from rvpo_verl.files import write_parquet

    rows = read_rlla(file, split)
    checked = check_rlla(rows, mode.value, drop_unoffered)
    findings = [asdict(finding) for finding in checked.findings.by_kind.values()]
    summary = {
        "rows": len(rows),
        "usable": len(checked.usable),
        "mode": mode.value,
        "parts": checked.parts,
        "calls": {str(count): number for count, number in checked.calls.items()},
        "unoffered": {str(number): missing for number, missing in checked.unoffered.items()},
        "findings": findings,
    }
    table = new_table("rows", f"usable in mode={mode.value}", "ground truths with", "calls in them")
    table.add_row(
        str(len(rows)),
        str(len(checked.usable)),
        ", ".join(f"{part}: {count}" for part, count in checked.parts.items()),
        ", ".join(f"{number} with {count}" for count, number in checked.calls.items()),
    )
    print_tables(table, show_findings(findings))
    if checked.unoffered:
        kept = "dropped" if drop_unoffered else "kept; --drop-unoffered drops them"
        print_text(f"Rows that use what is not offered ({kept}): {', '.join(map(str, checked.unoffered))}")
    if out is not None:
        if not checked.usable:
            raise UserError(
                f"{file}: no ground truth can be read in mode={mode.value}, so nothing is written"
            )
        write_parquet(checked.usable, out)
        print_text(f"{out}: {len(checked.usable)} rows")
    write_json(json_file, summary)

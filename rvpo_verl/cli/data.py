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
        typer.Argument(help="rar-medicine, rar-science, healthbench, rlla, or a name for your own data."),
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
    shape: Annotated[
        Shape | None, typer.Option(help="Schema of your own data, in place of what its first row looks like.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=COLUMN.FIELD,...",
            help="Where your rows have prompt, criterion, weight, category, title, reference, id. Shows a row "
            "before anything is written.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking whether --map is right.")] = False,
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
    """Turn a data set with rubrics, or RLLA, into parquet for verl, and report what was found in it."""
    if dataset == "rlla":
        _prepare_rlla({"train": train, "val": val, "test": test}, hub, out, json_file)
        return
    from rvpo_verl.data import prepare as preparing
    from rvpo_verl.data.options import Options, parse_openings
    from rvpo_verl.data.published import parse_map
    from rvpo_verl.data.report import report
    from rvpo_verl.data.rows import write_rows
    from rvpo_verl.data.show import show
    from rvpo_verl.data.sources import Split

    files: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
    prepared = preparing.prepare(
        dataset,
        shape,
        preparing.sources(dataset, files, hub),
        Options(
            weights,
            ambiguous,
            duplicates,
            parse_openings(polarity or []),
            benchmark_as_train,
            parse_map(where) if where else None,
        ),
    )
    summary = report(prepared.splits, prepared.findings, prepared.rows_read)
    print_tables(*show(summary, next(iter(prepared.splits.values()))[0]))
    if out is not None and where and not yes:
        typer.confirm("Write the rows as shown?", abort=True)
    if out is not None:
        for split, rows in prepared.splits.items():
            write_rows(rows, out / f"{split}.parquet")
            print_text(f"{out / split}.parquet: {len(rows)} rows")
    write_json(json_file, summary)


def _prepare_rlla(
    files: dict[str, Path | None], hub: str | None, out: Path | None, json_file: Path | None
) -> None:
    from rvpo_verl.data.rlla import from_rows, read_rlla
    from rvpo_verl.data.sources import from_hub

    given = {split: (str(file), read_rlla(file, split)) for split, file in files.items() if file is not None}
    if not given and hub is None:
        raise UserError(
            "rlla: give ToolRL's dataset/rlla_4k/train.parquet and test.parquet, or raw files, with --train and "
            "--test, or --hub REPOSITORY. `rvpo-verl data rlla FILE` checks one file and has more options"
        )
    for split, source in from_hub(hub).items() if hub else ():
        given[split] = (source.name, from_rows(source.rows, source.name, split))
    summaries = {
        split: _rlla(rows, name, None if out is None else out / f"{split}.parquet", Mode.robust, False)
        for split, (name, rows) in given.items()
    }
    write_json(json_file, summaries)


@app.command()
def preview(
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="Rows for verl: prepared ones, or your own."),
    ],
    row: Annotated[int, typer.Option(min=1, help="Number of the row to show.")] = 1,
    model: Annotated[
        str | None,
        typer.Option(help="Folder or hub name of a model, whose chat template and tokens are shown."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check rows for verl (docs/data.md), and show one as the model sees it and what answers to it would score."""
    from rvpo_verl.data.prepare import inspect_rows
    from rvpo_verl.data.preview import kind_of, kind_of_file, previews
    from rvpo_verl.data.report import report
    from rvpo_verl.data.rows import read_rows
    from rvpo_verl.data.show import show_preview, show_statistics
    from rvpo_verl.files import read_rows as read_any

    kind = kind_of_file(files[0])
    if kind == "rubric":
        by_file = {str(file): read_rows(file) for file in files}
    else:
        by_file = {str(file): [given for _, given in read_any(file)] for file in files}
    everything = [each for rows in by_file.values() for each in rows]
    if row > len(everything):
        raise UserError(f"--row {row}: there are {len(everything)} rows")
    summary = {"rows": len(everything), "kind": kind}
    if kind == "rubric":
        splits, findings = inspect_rows(by_file)
        summary = report(splits, findings)
        print_tables(*show_statistics(summary))
    chosen = everything[row - 1]
    shown = previews(chosen, kind_of(chosen), model)
    print_tables(*show_preview(chosen, shown))
    write_json(json_file, {**summary, "preview": shown})


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
    from rvpo_verl.data.rlla import read_rlla

    write_json(json_file, _rlla(read_rlla(file, split), str(file), out, mode, drop_unoffered))


def _rlla(rows: list[Any], name: str, out: Path | None, mode: Mode, drop_unoffered: bool) -> dict[str, Any]:
    """Checks rows, prints the report, writes those that can be used, and returns the report."""
    from dataclasses import asdict

    from rvpo_verl.data.rlla import check_rlla
    from rvpo_verl.data.show import show_findings
    from rvpo_verl.files import write_parquet

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
                f"{name}: no ground truth can be read in mode={mode.value}, so nothing is written"
            )
        write_parquet(checked.usable, out)
        print_text(f"{out}: {len(checked.usable)} rows")
    return summary

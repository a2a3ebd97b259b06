"""`rvpo-verl data instructions`: verifiable instructions into verl's parquet, published or generated."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rvpo_verl.cli.console import new_table, print_tables, print_text, print_warning, write_json
from rvpo_verl.cli.options import JsonFile
from rvpo_verl.errors import UserError


def _file(what: str) -> Any:
    return typer.Option(exists=True, dir_okay=False, help=f"{what}: .jsonl, .json, .parquet or .arrow.")


def instructions(
    dataset: Annotated[
        str,
        typer.Argument(
            help="if-multi, rlvr-ifeval, nemotron-if, ifeval or ifbench of the hub, or a name for your own rows."
        ),
    ] = "instructions",
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for train, val and test.parquet; nothing is written without it."
        ),
    ] = None,
    train: Annotated[Path | None, _file("Rows to train on")] = None,
    val: Annotated[Path | None, _file("Rows to validate on")] = None,
    test: Annotated[Path | None, _file("Rows to test on")] = None,
    benchmark: Annotated[
        list[Path] | None, _file("Benchmark whose prompts must not be in train; repeatable")
    ] = None,
    generate: Annotated[int | None, typer.Option(min=0, help="Prompts to generate for train.")] = None,
    generate_val: Annotated[int, typer.Option(min=0, help="Prompts of tasks that train does not have.")] = 0,
    generate_test: Annotated[
        int, typer.Option(min=0, help="The same, each with a constraint of a held-out kind.")
    ] = 0,
    tasks: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Your tasks, one a line; else 40 of our own."),
    ] = None,
    constraints: Annotated[str, typer.Option(help="Number of constraints of a prompt, FEWEST-MOST.")] = "2-5",
    words: Annotated[
        int, typer.Option(min=10, help="Of a usual answer, around which lengths are drawn.")
    ] = 200,
    held_out_kind: Annotated[
        list[str] | None, typer.Option(help="Kind that train never has; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the generated prompts.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Turn prompts with verifiable constraints into parquet for verl, or generate them, and report what was found."""
    from dataclasses import asdict

    from rvpo_verl.data import instructions as preparing
    from rvpo_verl.data.instruction_prompts import Prompts
    from rvpo_verl.data.instruction_tasks import TASKS
    from rvpo_verl.data.show import show_findings
    from rvpo_verl.data.sources import from_hub
    from rvpo_verl.files import read_rows, write_parquet
    from rvpo_verl.rewards.instructions.resources import look_for_data

    for warning in look_for_data():
        print_warning(warning)

    def located(file: Path) -> Any:
        return ((f"{file}, row {number}", row) for number, row in read_rows(file))

    files = {"train": train, "val": val, "test": test}
    given = {split: file for split, file in files.items() if file is not None}
    if generate is not None:
        if given:
            raise UserError("--generate makes all splits; leave out --train, --val and --test")
        own = [line.strip() for line in tasks.read_text().splitlines() if line.strip()] if tasks else TASKS
        prepared = preparing.generate(
            preparing.Generate(
                generate, generate_val, generate_test, seed, held_out_kinds=held_out_kind or ()
            ),
            Prompts(own, constraints=_range(constraints), words=words),
            dataset,
        )
    elif given:
        prepared = {split: preparing.convert(located(file), dataset, split) for split, file in given.items()}
    elif dataset in preparing.HUB:
        sources = from_hub(preparing.HUB[dataset])
        if dataset in preparing.BENCHMARKS:  # their only split is called train on the hub
            sources = {"test": next(iter(sources.values()))}
        prepared = {
            split: preparing.convert(
                ((f"{source.name}, row {number}", row) for number, row in source.rows), dataset, split
            )
            for split, source in sources.items()
        }
    else:
        raise UserError(
            f"no source for {dataset!r}: give files with --train, --val, --test, or --generate N, or name one of "
            f"{', '.join(preparing.HUB)}"
        )
    if dataset in preparing.BENCHMARKS and "train" in prepared:
        raise UserError(
            f"{dataset} is a benchmark: training on it makes its score meaningless. Give it with --test"
        )

    if "train" in prepared:
        if not benchmark:
            print_warning("no --benchmark was given, so it is not known whether prompts of one are in train")
        prompts = {file.stem: preparing.prompts_of(located(file)) for file in benchmark or ()}
        of_train = prepared["train"]
        of_train.rows = preparing.without_benchmark_prompts(of_train.rows, prompts, of_train.findings)

    table = new_table("split", "read", "kept", "constraints per prompt", "kinds")
    findings = []
    for split, each in prepared.items():
        if not each.rows:
            raise UserError(f"no row is left for {split}, of {each.read}")
        counts = [len(row["extra_info"]["kwargs"]) for row in each.rows]
        kinds = {kind for row in each.rows for kind in row["extra_info"]["instruction_id_list"]}
        mean = sum(counts) / len(counts)
        spread = f"{mean:.1f} ({min(counts)}–{max(counts)})"
        table.add_row(split, str(each.read), str(len(each.rows)), spread, str(len(kinds)))
        findings += [asdict(finding) for finding in each.findings.by_kind.values()]
    print_tables(table, show_findings(findings))
    print_text(next(iter(prepared.values())).rows[0]["prompt"][-1]["content"])
    if out is not None:
        for split, each in prepared.items():
            write_parquet(each.rows, out / f"{split}.parquet")
            print_text(f"{out / split}.parquet: {len(each.rows)} rows")
    rows = {split: {"read": each.read, "kept": len(each.rows)} for split, each in prepared.items()}
    write_json(json_file, {"splits": rows, "findings": findings})


def _range(written: str) -> tuple[int, int]:
    fewest, _, most = written.partition("-")
    if not fewest.isdigit() or not (most or fewest).isdigit():
        raise UserError(f"--constraints {written}: expected FEWEST-MOST, such as 2-5")
    return int(fewest), int(most or fewest)

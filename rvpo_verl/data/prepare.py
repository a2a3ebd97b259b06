"""From published rows to rows for verl, and the report on what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rvpo_verl.data.duplicates import TRAIN, without_repeated_criteria, without_repeated_prompts
from rvpo_verl.data.findings import Findings
from rvpo_verl.data.healthbench import HealthBenchReader
from rvpo_verl.data.options import Duplicates, Options, Shape
from rvpo_verl.data.rar import RarReader
from rvpo_verl.data.reader import Reader
from rvpo_verl.data.rows import Row, rubric
from rvpo_verl.data.sources import SPLITS, Source, Split, from_file, from_hub


@dataclass(frozen=True)
class Dataset:
    shape: Shape
    repository: str | None
    """On the Hugging Face hub."""


READERS: dict[Shape, type[Reader]] = {Shape.rar: RarReader, Shape.healthbench: HealthBenchReader}
DATASETS = {
    "rar-medicine": Dataset(Shape.rar, "anisha2102/RaR-Medicine-20k-o3-mini"),
    "rar-science": Dataset(Shape.rar, "anisha2102/RaR-Science-20k-o3-mini"),
    "healthbench": Dataset(Shape.healthbench, None),
}


@dataclass(frozen=True)
class Prepared:
    splits: dict[str, list[Row]]
    rows_read: dict[str, int]
    findings: Findings


def sources(
    data_source: str, files: Mapping[Split, Path | None], repository: str | None = None
) -> dict[Split, Source]:
    """Files if there are any, else the hub.

    Raises:
        ValueError: neither is known, both are given, or the hub cannot be reached.
    """
    given = {split: from_file(path) for split, path in files.items() if path is not None}
    if given and repository:
        raise ValueError(f"--hub {repository} is given beside files; accepted is one of the two")
    if given:
        return given
    known = DATASETS.get(data_source)
    repository = repository or (known and known.repository)
    if repository is None:
        raise ValueError(
            f"where is {data_source}? Give files with --train, --val, --test, or --hub REPOSITORY"
        )
    return from_hub(repository)


def prepare(
    data_source: str, shape: Shape, sources: Mapping[Split, Source], options: Options | None = None
) -> Prepared:
    """Reads every split.

    Raises:
        ValueError: a row does not fit its schema, a split comes out empty, a benchmark is to be trained on.
    """
    options = options or Options()
    if shape is Shape.healthbench and TRAIN in sources and not options.benchmark_as_train:
        raise ValueError(
            f"{sources[TRAIN].name}: rows in HealthBench's shape are not written as a training split, because "
            "HealthBench is a benchmark and a model trained on it cannot be judged by it. Give them with --test "
            "or --val; for rows of your own in this shape there is --benchmark-as-train"
        )
    findings = Findings()
    reader = READERS[shape](data_source, options, findings)
    drop = options.duplicates is Duplicates.drop

    rows_read: dict[str, int] = {}
    splits: dict[str, list[tuple[str, Row]]] = {}
    for split in SPLITS:
        if split in sources:
            rows = _read(reader, sources[split], split)
            rows_read[split] = len(rows)
            rows = [
                (where, without_repeated_criteria(row, where, findings, drop=drop and split == TRAIN))
                for where, row in rows
            ]
            splits[split] = [(where, row) for where, row in rows if _teaches(row, where, findings)]
    reader.finish()
    splits = without_repeated_prompts(splits, findings, drop=drop)

    for split, rows in splits.items():
        if not rows:
            why = "; ".join(f"{finding.what}: {finding.count}" for finding in findings.by_kind.values())
            raise ValueError(f"{sources[split].name}: no row is left for {split} ({why or 'there was none'})")
    return Prepared({split: [row for _, row in rows] for split, rows in splits.items()}, rows_read, findings)


def _read(reader: Reader, source: Source, split: Split) -> list[tuple[str, Row]]:
    rows = []
    for number, given in source.rows:
        where = f"{source.name}, row {number}"
        rows.append((where, reader.read(given, where, split, number - 1)))
    return rows


def _teaches(row: Row, where: str, findings: Findings) -> bool:
    if any(criterion["weight"] > 0 for criterion in rubric(row)):
        return True
    findings.add(
        "rubric_empty",
        "no criterion with a weight above 0 is left of a row",
        "row dropped",
        where,
        row["prompt"][-1]["content"],
    )
    return False


def inspect_rows(by_file: Mapping[str, Sequence[Row]]) -> tuple[dict[str, list[Row]], Findings]:
    """Prepared rows by the split they say they are of, the file where they do not; and repetitions in them."""
    findings = Findings()
    splits: dict[str, list[tuple[str, Row]]] = {}
    for file, rows in by_file.items():
        for number, row in enumerate(rows, start=1):
            where = f"{file}, row {number}"
            without_repeated_criteria(row, where, findings, drop=False)
            splits.setdefault(row["extra_info"]["split"] or file, []).append((where, row))
    without_repeated_prompts(splits, findings, drop=False)
    return {split: [row for _, row in rows] for split, rows in splits.items()}, findings

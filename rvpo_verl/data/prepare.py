"""Converts published rows into rows for verl."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rvpo_verl.data import published
from rvpo_verl.data.duplicates import (
    TRAIN,
    LocatedRow,
    without_repeated_criteria,
    without_repeated_prompts,
)
from rvpo_verl.data.findings import Findings
from rvpo_verl.data.healthbench import HealthBenchReader
from rvpo_verl.data.options import Duplicates, Options, Shape
from rvpo_verl.data.rar import RarReader
from rvpo_verl.data.reader import Reader
from rvpo_verl.data.rows import Row, rubric
from rvpo_verl.data.sources import SPLITS, Source, Split, from_file, from_hub
from rvpo_verl.errors import UserError

READERS: dict[Shape, type[Reader]] = {Shape.rar: RarReader, Shape.healthbench: HealthBenchReader}
DATASETS: dict[str, tuple[Shape, str | None]] = {
    "rar-medicine": (Shape.rar, "anisha2102/RaR-Medicine-20k-o3-mini"),
    "rar-science": (Shape.rar, "anisha2102/RaR-Science-20k-o3-mini"),
    "healthbench": (Shape.healthbench, None),
}
"""Schema, and repository on the Hugging Face hub."""


@dataclass(frozen=True)
class Prepared:
    splits: dict[str, list[Row]]
    rows_read: dict[str, int]
    findings: Findings


def sources(
    data_source: str, files: Mapping[Split, Path | None], repository: str | None = None
) -> dict[Split, Source]:
    """The files if there are any, else the repository on the hub.

    Raises:
        UserError: neither is known, both are given, or the hub cannot be reached.
    """
    given = {split: from_file(path) for split, path in files.items() if path is not None}
    if given and repository:
        raise UserError(f"--hub {repository}: files are given too; give either files or --hub")
    if given:
        return given
    repository = repository or DATASETS.get(data_source, (None, None))[1]
    if repository is None:
        raise UserError(
            f"no source for {data_source}: give files with --train, --val, --test, or --hub REPOSITORY"
        )
    return from_hub(repository)


def prepare(
    data_source: str, shape: Shape | None, sources: Mapping[Split, Source], options: Options | None = None
) -> Prepared:
    """Reads every split.

    Args:
        shape: None for that of a name in `DATASETS`, else the one that the first row looks like.

    Raises:
        UserError: a row does not fit its schema, a split comes out empty, or a benchmark is given to train on.
    """
    options = options or Options()
    known = DATASETS.get(data_source, (None, None))[0]
    if (shape or known) is Shape.healthbench and options.paths is None and TRAIN in sources:
        _refuse_benchmark(sources[TRAIN].name, options)
    chosen = shape or known
    if chosen is None:
        chosen, sources = _with_shape(sources, options)
    findings = Findings()
    reader = READERS[chosen](data_source, options, findings)
    drop = options.duplicates is Duplicates.drop

    rows_read: dict[Split, int] = dict.fromkeys((split for split in SPLITS if split in sources), 0)
    splits: dict[Split, list[LocatedRow]] = {split: [] for split in rows_read}
    for split in rows_read:
        for number, given in sources[split].rows:
            where = f"{sources[split].name}, row {number}"
            if split == TRAIN and published.is_healthbench(given):
                _refuse_benchmark(where, options)
            if options.paths is not None:
                given = published.mapped(given, options.paths, chosen, where)
            elif known is not None:
                given = published.read_json_texts(given)
            else:
                given = published.in_shape(given, chosen)
            row = reader.read(given, where, split, number - 1)
            row = without_repeated_criteria(row, where, findings, drop=drop and split == TRAIN)
            rows_read[split] += 1
            if any(criterion["weight"] > 0 for criterion in rubric(row)):
                splits[split].append((where, row))
            else:
                findings.add("rubric_empty", where, row["prompt"][-1]["content"])
    reader.finish()
    splits = without_repeated_prompts(splits, findings, drop=drop)

    for split, rows in splits.items():
        if not rows:
            why = "; ".join(f"{finding.what}: {finding.count}" for finding in findings.by_kind.values())
            raise UserError(f"{sources[split].name}: no row is left for {split} ({why or 'it has none'})")
    return Prepared(
        {split: [row for _, row in rows] for split, rows in splits.items()},
        {split: count for split, count in rows_read.items()},
        findings,
    )


def _with_shape(sources: Mapping[Split, Source], options: Options) -> tuple[Shape, dict[Split, Source]]:
    """What the first row looks like, and the sources with that row."""
    split, source = next(iter(sources.items()))
    rows = iter(source.rows)
    first = list(itertools.islice(rows, 1))
    mapped = options.paths is not None
    shape = Shape.healthbench if mapped or not first else published.shape_of(first[0][1])
    return shape, {**sources, split: Source(source.name, itertools.chain(first, rows))}


def _refuse_benchmark(where: str, options: Options) -> None:
    if not options.benchmark_as_train:
        raise UserError(
            f"{where}: rows in HealthBench's schema are not written as a training split, because "
            "HealthBench is a benchmark, and training on it makes its score meaningless. Give them with --test "
            "or --val; for other rows in this schema there is --benchmark-as-train"
        )


def inspect_rows(by_file: Mapping[str, Sequence[Row]]) -> tuple[dict[str, list[Row]], Findings]:
    """Prepared rows by their `split`, or by file where it is empty; and the repetitions in them."""
    findings = Findings()
    splits: dict[str, list[LocatedRow]] = {}
    for file, rows in by_file.items():
        for number, row in enumerate(rows, start=1):
            where = f"{file}, row {number}"
            without_repeated_criteria(row, where, findings, drop=False)
            splits.setdefault(row["extra_info"]["split"] or file, []).append((where, row))
    without_repeated_prompts(splits, findings, drop=False)
    return {split: [row for _, row in rows] for split, rows in splits.items()}, findings

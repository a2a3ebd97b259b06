"""Scoring a file of responses, row by row, without training."""

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rvpo_verl.rewards.call import ARGUMENTS, Sample, Scorer
from rvpo_verl.rewards.vector import RewardVector

REQUIRED = ("response", "ground_truth")
COLUMNS = {
    "response": str,
    "ground_truth": object,
    "data_source": str,
    "extra_info": dict,
    "messages": list,
}
"""Columns and what they hold; an optional one may be absent or null."""
ABSENT = frozenset(ARGUMENTS) - frozenset(COLUMNS)
"""What a reward cannot have when there is only a file."""
AT_A_TIME = 256


def score_file(scorer: Scorer, file: Path) -> Iterator[RewardVector]:
    """The scores of each row, in order.

    Raises:
        ValueError: a row cannot be read, or lacks a column.
    """
    samples = _samples(file)
    while rows := list(islice(samples, AT_A_TIME)):
        yield from asyncio.run(_score(scorer, rows))


async def _score(scorer: Scorer, samples: list[Sample]) -> list[RewardVector]:
    return await asyncio.gather(*(scorer.score(sample) for sample in samples))


def _samples(file: Path) -> Iterator[Sample]:
    if file.suffix == ".parquet":
        rows = _parquet_rows(file)
    elif file.suffix in (".jsonl", ".json"):
        rows = _json_rows(file)
    else:
        raise ValueError(f"{file}: expected a .jsonl or a .parquet file")
    for number, row in rows:
        yield _sample(row, f"{file}, row {number}")


def _json_rows(file: Path) -> Iterator[tuple[int, Any]]:
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError as error:
                    raise ValueError(f"{file}, row {number}: not JSON, {error}") from None


def _parquet_rows(file: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{file}: not a parquet file, {error}") from None
    there = table.schema_arrow.names
    number = 0
    for batch in table.iter_batches(AT_A_TIME, columns=[name for name in COLUMNS if name in there]):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _sample(row: Any, where: str) -> Sample:
    if not isinstance(row, dict):
        raise ValueError(
            f"{where}: expected an object with {', '.join(COLUMNS)}; found a {type(row).__name__}"
        )
    for column in REQUIRED:
        if column not in row:
            raise ValueError(
                f"{where}: no field {column!r}; there are: {', '.join(map(str, row)) or 'none'}. Needed: "
                f"{', '.join(REQUIRED)}; optional: {', '.join(name for name in COLUMNS if name not in REQUIRED)}"
            )
    given = {name: row[name] for name in COLUMNS if row.get(name) is not None}
    if "response" not in given:
        raise ValueError(f"{where}: field 'response' is null; expected a string")
    for name, value in given.items():
        if not isinstance(value, COLUMNS[name]):
            raise ValueError(
                f"{where}: field {name!r} holds a {type(value).__name__}; expected a {COLUMNS[name].__name__}"
            )
    return Sample(**given)

"""Scores a file of responses, row by row, without training."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows
from rvpo_verl.rewards.call import ARGUMENTS, Sample, Scorer
from rvpo_verl.rewards.vector import RewardVector

REQUIRED = ("response", "ground_truth")
COLUMNS = {
    "response": str,
    "ground_truth": object,
    "data_source": str,
    "extra_info": dict,
    "messages": list,
    "turns": list,
}
"""Columns and their types; an optional one may be absent or null."""
ABSENT = frozenset(ARGUMENTS) - frozenset(COLUMNS) - {"last_turn"}
"""Arguments of rewards that a file cannot provide."""
BATCH_SIZE = 256
"""Responses scored concurrently."""


def score_file(scorer: Scorer, file: Path) -> Iterator[RewardVector]:
    """The scores of each row, in order.

    Raises:
        UserError: a row cannot be read, or lacks a column.
    """
    samples = (_sample(row, f"{file}, row {number}") for number, row in read_rows(file, list(COLUMNS)))
    # One event loop for all of them: rewards keep objects that belong to it, such as a semaphore.
    loop = asyncio.new_event_loop()
    try:
        while batch := list(islice(samples, BATCH_SIZE)):
            yield from loop.run_until_complete(_score(scorer, batch))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _score(scorer: Scorer, samples: list[Sample]) -> list[RewardVector]:
    return await asyncio.gather(*(scorer.score(sample) for sample in samples))


def _sample(row: Any, where: str) -> Sample:
    if not isinstance(row, dict):
        raise UserError(
            f"{where}: expected an object with {', '.join(COLUMNS)}; found a {type(row).__name__}"
        )
    for column in REQUIRED:
        if column not in row:
            raise UserError(
                f"{where}: no field {column!r}; there are: {', '.join(map(str, row)) or 'none'}. Needed: "
                f"{', '.join(REQUIRED)}; optional: {', '.join(name for name in COLUMNS if name not in REQUIRED)}"
            )
    given = {name: row[name] for name in COLUMNS if row.get(name) is not None}
    if "response" not in given:
        raise UserError(f"{where}: field 'response' is null; expected a string")
    for name, value in given.items():
        if not isinstance(value, COLUMNS[name]):
            raise UserError(
                f"{where}: field {name!r} holds a {type(value).__name__}; expected a {COLUMNS[name].__name__}"
            )
    return Sample(**given)

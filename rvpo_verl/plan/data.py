"""Do the data files hold what verl and the rewards read?"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rvpo_verl.attach.verl_config import rewards_config
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.registry import resolve

COLUMNS_OF_ARGUMENTS = {
    "ground_truth": "reward_model.ground_truth",
    "data_source": "data_source",
    "extra_info": "extra_info",
}
"""Column that fills an argument of a reward function."""
RUBRIC = "extra_info.rubric"


@dataclass(frozen=True)
class DataFacts:
    rows: int
    criteria: float | None
    """Mean number of rubric criteria of a row; None without a rubric reward."""


def inspect_files(config: DictConfig) -> tuple[DataFacts, DataFacts]:
    """Checks the training and the validation files.

    Raises:
        ConfigError: with every file that is missing or lacks a column, and what there is.
    """
    needed = _needed(config)
    complaints: list[str] = []
    facts = [_facts(config, key, needed, complaints) for key in ("train_files", "val_files")]
    if complaints:
        raise ConfigError("\n".join(complaints))
    return facts[0], facts[1]


def _needed(config: DictConfig) -> dict[str, str]:
    """Who reads each column, by column."""
    needed = {config.data.prompt_key: "verl", "data_source": "verl", "reward_model": "verl"}
    rewards = rewards_config(config)
    for name, spec in rewards.rewards.items() if rewards else ():
        arguments = inspect.signature(resolve(spec.function or name).function).parameters
        for argument, column in COLUMNS_OF_ARGUMENTS.items():
            if argument in arguments:
                needed.setdefault(column, f"reward {name}")
        if name == "rubric":
            needed[RUBRIC] = "reward rubric"
    return needed


def _facts(config: DictConfig, key: str, needed: dict[str, str], complaints: list[str]) -> DataFacts:
    rows, criteria = 0, []
    for file in _files(config.data[key]):
        if not file.exists():
            complaints.append(f"data.{key}={file}: there is no such file")
        elif file.suffix == ".parquet":
            rows += _parquet(file, key, needed, criteria, complaints)
        else:
            complaints.append(f"data.{key}={file}: expected a .parquet file")
    return DataFacts(rows, sum(criteria) / len(criteria) if criteria else None)


def _files(value: Any) -> list[Path]:
    files = [value] if isinstance(value, str) else list(value)
    return [Path(file).expanduser() for file in files]


def _parquet(file: Path, key: str, needed: dict[str, str], criteria: list[int], complaints: list[str]) -> int:
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(file)
    except pyarrow.ArrowInvalid as error:
        complaints.append(f"data.{key}={file}: not a parquet file ({error})")
        return 0
    absent = {column: reader for column, reader in needed.items() if not _has(schema, column.split("."))}
    for column, reader in absent.items():
        complaints.append(
            f"data.{key}={file}: no column {column}, which {reader} reads; there are {', '.join(schema.names)}"
        )
    if RUBRIC in needed and RUBRIC not in absent:
        column = pyarrow.parquet.read_table(file, columns=["extra_info"])["extra_info"]
        criteria += [len(row["rubric"] or ()) for row in column.to_pylist()]
    return pyarrow.parquet.read_metadata(file).num_rows


def _has(fields: Any, path: Sequence[str]) -> bool:
    """Whether a schema, or a struct type, has the field at `path`."""
    names = fields.names if hasattr(fields, "names") else [field.name for field in fields]
    if path[0] not in names:
        return False
    kind = fields.field(path[0]).type
    return len(path) == 1 or (hasattr(kind, "num_fields") and kind.num_fields and _has(kind, path[1:]))

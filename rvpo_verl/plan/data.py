"""Do the data files hold what verl and the rewards read, and how much is in them?"""

import inspect
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rvpo_verl.attach.data_files import local_files
from rvpo_verl.attach.verl_config import rewards_config
from rvpo_verl.config import RewardSpec
from rvpo_verl.errors import ConfigError, UserError
from rvpo_verl.files import open_parquet, read_rows
from rvpo_verl.rewards.protocol import CallsServices, RequiresColumns
from rvpo_verl.rewards.registry import resolve
from rvpo_verl.rewards.sample import COLUMN_OF_ARGUMENT


@dataclass(frozen=True)
class DataFacts:
    rows: int
    service_calls: dict[str, float] = field(default_factory=dict)
    """Calls to services for one response, mean over the rows, by reward; only of rewards that make some."""


@dataclass(frozen=True)
class _Reward:
    name: str
    spec: RewardSpec
    function: Callable[..., Any]

    def columns(self) -> set[str]:
        """Columns that the reward reads, such as `reward_model.ground_truth`."""
        arguments = inspect.signature(self.function).parameters
        columns = {column for argument, column in COLUMN_OF_ARGUMENT.items() if argument in arguments}
        if isinstance(self.function, RequiresColumns):
            columns |= set(self.function.required_columns(self.spec.kwargs))
        return columns

    def service_calls(self, rows: Sequence[dict[str, Any]]) -> list[float]:
        """Calls for one response to each of the rows; 0 where the reward does not apply."""
        sources = self.spec.data_sources
        return [
            self.function.calls_per_response(self.spec.kwargs, row)
            if sources is None or row.get("data_source") in sources
            else 0.0
            for row in rows
        ]


@dataclass(frozen=True)
class DataReport:
    train: DataFacts | None
    """None if not all files could be read here."""
    validation: DataFacts | None
    absent: list[str]
    """Files that are not here, and why; verl may find them where it trains."""


def inspect_files(config: DictConfig) -> DataReport:
    """Checks the training and the validation files, as far as they are here.

    Raises:
        ConfigError: with every file that cannot be read or lacks a column, and what there is.
    """
    settings = rewards_config(config)
    rewards = [
        _Reward(name, spec, resolve(spec.function or name).function)
        for name, spec in (settings.rewards.items() if settings else ())
    ]
    readers = {config.data.prompt_key: "verl"}
    for reward in rewards:
        for column in sorted(reward.columns()):
            readers.setdefault(column, f"reward {reward.name}")
    complaints: list[str] = []
    absent: list[str] = []
    facts = [
        _facts(config, key, readers, rewards, complaints, absent) for key in ("train_files", "val_files")
    ]
    if complaints:
        raise ConfigError("\n".join(complaints))
    return DataReport(*facts, absent)


def _facts(
    config: DictConfig,
    key: str,
    readers: dict[str, str],
    rewards: list[_Reward],
    complaints: list[str],
    absent: list[str],
) -> DataFacts | None:
    """
    Args:
        readers: who reads each column, by column.
        complaints, absent: filled with what is wrong, and with the files that are not here.
    """
    calling = [reward for reward in rewards if isinstance(reward.function, CallsServices)]
    rows, calls = 0, {reward.name: [] for reward in calling}
    files, not_here = local_files(config.data[key])
    absent += [f"data.{key}={file}" for file in not_here]
    for file in files:
        try:
            rows += _inspect(file, f"data.{key}={file}", readers, calling, calls, complaints)
        except UserError as error:
            complaints.append(f"data.{key}: {error}")
    if not_here:
        return None
    limit = config.data.get(f"{key.removesuffix('_files')}_max_samples", -1)
    rows = min(rows, limit) if limit and limit > 0 else rows
    return DataFacts(rows, {name: statistics.fmean(counts) for name, counts in calls.items() if counts})


def _inspect(
    file: Path,
    where: str,
    readers: dict[str, str],
    calling: list[_Reward],
    calls: dict[str, list[float]],
    complaints: list[str],
) -> int:
    """The number of rows of a file that verl can read: parquet, or JSON lines."""
    if file.suffix == ".parquet":
        parquet = open_parquet(file)
        count, schema = parquet.metadata.num_rows, parquet.schema_arrow
        missing = [column for column in readers if not _has_column(schema, column.split("."))]
        found = schema.names
        if not (calling and not missing):
            rows = []
        else:
            rows = [
                row
                for _, row in read_rows(
                    file, sorted({name.partition(".")[0] for name in readers} | {"data_source"})
                )
            ]
    elif file.suffix in (".json", ".jsonl"):
        rows = [row for _, row in read_rows(file)]
        count, found = len(rows), sorted(rows[0]) if rows else []
        missing = [column for column in readers if rows and not _has_key(rows[0], column.split("."))]
    else:
        raise UserError(f"{file}: verl reads .parquet, .json and .jsonl files")
    complaints += [
        f"{where}: no column {column}, which {readers[column]} reads; there are {', '.join(found)}"
        for column in missing
    ]
    if not missing:
        for reward in calling:
            calls[reward.name] += reward.service_calls(rows)
    return count


def _has_key(row: Any, path: Sequence[str]) -> bool:
    return not path or (isinstance(row, dict) and path[0] in row and _has_key(row[path[0]], path[1:]))


def _has_column(fields: Any, path: Sequence[str]) -> bool:
    """Whether a schema, or a struct type, has the field at `path`."""
    names = fields.names if hasattr(fields, "names") else [each.name for each in fields]
    if path[0] not in names:
        return False
    kind = fields.field(path[0]).type
    return len(path) == 1 or (hasattr(kind, "num_fields") and kind.num_fields and _has_column(kind, path[1:]))

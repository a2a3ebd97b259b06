"""Do the data files hold what verl and the rewards read, and how much is in them?"""

import inspect
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

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
            if sources is None or row["data_source"] in sources
            else 0.0
            for row in rows
        ]


def inspect_files(config: DictConfig) -> tuple[DataFacts, DataFacts]:
    """Checks the training and the validation files.

    Raises:
        ConfigError: with every file that is missing or lacks a column, and what there is.
    """
    settings = rewards_config(config)
    rewards = [
        _Reward(name, spec, resolve(spec.function or name).function)
        for name, spec in (settings.rewards.items() if settings else ())
    ]
    readers = {config.data.prompt_key: "verl", "data_source": "verl", "reward_model": "verl"}
    for reward in rewards:
        for column in sorted(reward.columns()):
            readers.setdefault(column, f"reward {reward.name}")
    complaints: list[str] = []
    facts = [_facts(config, key, readers, rewards, complaints) for key in ("train_files", "val_files")]
    if complaints:
        raise ConfigError("\n".join(complaints))
    return facts[0], facts[1]


def _facts(
    config: DictConfig, key: str, readers: dict[str, str], rewards: list[_Reward], complaints: list[str]
) -> DataFacts:
    """
    Args:
        readers: who reads each column, by column.
        complaints: filled with what is wrong.
    """
    calling = [reward for reward in rewards if isinstance(reward.function, CallsServices)]
    rows, calls = 0, {reward.name: [] for reward in calling}
    value = config.data[key]
    for file in [value] if isinstance(value, str) else value:
        file = Path(file).expanduser()
        where = f"data.{key}={file}"
        if not file.exists():
            complaints.append(f"{where}: there is no such file")
            continue
        if file.suffix != ".parquet":
            complaints.append(f"{where}: expected a .parquet file")
            continue
        try:
            parquet = open_parquet(file)
        except UserError as error:
            complaints.append(f"data.{key}: {error}")
            continue
        schema = parquet.schema_arrow
        absent = [column for column in readers if not _has_column(schema, column.split("."))]
        complaints += [
            f"{where}: no column {column}, which {readers[column]} reads; there are {', '.join(schema.names)}"
            for column in absent
        ]
        rows += parquet.metadata.num_rows
        if calling and not absent:
            names = {column.partition(".")[0] for column in readers}
            table = [row for _, row in read_rows(file, sorted(names))]
            for reward in calling:
                calls[reward.name] += reward.service_calls(table)
    return DataFacts(rows, {name: statistics.fmean(counts) for name, counts in calls.items() if counts})


def _has_column(fields: Any, path: Sequence[str]) -> bool:
    """Whether a schema, or a struct type, has the field at `path`."""
    names = fields.names if hasattr(fields, "names") else [each.name for each in fields]
    if path[0] not in names:
        return False
    kind = fields.field(path[0]).type
    return len(path) == 1 or (hasattr(kind, "num_fields") and kind.num_fields and _has_column(kind, path[1:]))

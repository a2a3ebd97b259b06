"""Do the data files hold what verl and the rewards read, and how much is in them?"""

import inspect
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from rvpo_verl.attach.data_files import local_files
from rvpo_verl.attach.dataset import NeedsModelError, open_dataset
from rvpo_verl.attach.verl_config import rewards_config
from rvpo_verl.config import RewardSpec
from rvpo_verl.errors import ConfigError, UserError
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
    train, validation = (
        _facts(config, key, readers, rewards, complaints, absent) for key in ("train_files", "val_files")
    )
    if complaints:
        raise ConfigError("\n".join(complaints))
    return DataReport(train, validation, absent)


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
    files, not_here = local_files(config.data[key])
    absent += [f"data.{key}={file}" for file in not_here]
    if not files:
        return None if not_here else DataFacts(0)
    try:
        count, table = open_dataset(config.data, key, files)
    except NeedsModelError as error:
        absent.append(f"data.{key}: {error}")
        return None
    except UserError as error:
        complaints.append(f"data.{key}: {error}")
        return None
    calls = {}
    if table is not None:
        missing = [column for column in readers if not _has(table.features, column.split("."))]
        complaints += [
            f"data.{key}: no column {column}, which {readers[column]} reads; there are "
            f"{', '.join(table.column_names)}"
            for column in missing
        ]
        if not missing:
            calls = _service_calls(table, readers, rewards)
    return None if not_here else DataFacts(count, calls)


def _service_calls(table: Any, readers: dict[str, str], rewards: list[_Reward]) -> dict[str, float]:
    calling = {}
    for reward in rewards:
        function: object = reward.function
        if isinstance(function, CallsServices):
            calling[reward.name] = _calls(function, reward.spec)
    if not calling or not len(table):
        return {}
    read = {column.partition(".")[0] for column in readers} | {"data_source"}
    rows = list(table.select_columns(sorted(read & set(table.column_names))))
    return {name: statistics.fmean(map(calls, rows)) for name, calls in calling.items()}


def _calls(function: CallsServices, spec: RewardSpec) -> Callable[[Mapping[str, Any]], float]:
    """Calls for one response to a row; 0 where the reward does not apply."""
    sources = spec.data_sources

    def calls(row: Mapping[str, Any]) -> float:
        applies = sources is None or row.get("data_source") in sources
        return function.calls_per_response(spec.kwargs, row) if applies else 0.0

    return calls


def _has(features: Any, path: Sequence[str]) -> bool:
    """Whether the columns of a table, or the fields of one, have the field at `path`."""
    if not path:
        return True
    return isinstance(features, Mapping) and path[0] in features and _has(features[path[0]], path[1:])

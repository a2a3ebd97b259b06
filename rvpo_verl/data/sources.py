"""Where published rows come from: local files, or a repository of the Hugging Face hub."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rvpo_verl import files
from rvpo_verl.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
HUB_NAMES: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
"""Names of splits on the hub."""


@dataclass(frozen=True)
class Source:
    """The rows of one split."""

    name: str
    """A file's path, or repository and split, for messages."""
    rows: Iterable[tuple[int, Any]]
    """Number, from 1, and row."""


def from_file(path: Path) -> Source:
    """
    Raises:
        UserError: as `files.read_rows`.
    """
    return Source(str(path), files.read_rows(path))


def from_hub(repository: str) -> dict[Split, Source]:
    """All splits of a data set on the hub, or in a local folder with the same layout.

    Raises:
        UserError: it cannot be loaded, or has splits of unknown names.
    """
    import datasets

    try:
        loaded = datasets.load_dataset(repository)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{repository} cannot be loaded from the hub: {error}. Without access to it, download the files "
            "and pass them with --train, --val and --test"
        ) from error
    unknown = [name for name in loaded if name not in HUB_NAMES]
    if unknown:
        raise UserError(f"{repository} has the splits {unknown}; accepted: {', '.join(HUB_NAMES)}")
    return {
        HUB_NAMES[name]: Source(f"{repository}, split {name}", enumerate(rows, start=1))
        for name, rows in loaded.items()
    }

"""Rows as they were published: local files, or a repository of the Hugging Face hub."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
HUB_NAMES: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
"""What a split may be called on the hub."""
AT_A_TIME = 256


@dataclass(frozen=True)
class Source:
    """Where a split comes from."""

    name: str
    """A file's path, or repository and split: what messages call it."""
    rows: Iterable[tuple[int, Any]]
    """Number, from 1, and row. The number of a JSON line counts blank lines too."""


def from_file(path: Path) -> Source:
    """The rows of a .jsonl, .json (a list, or one object a line), .parquet or .arrow file.

    Raises:
        ValueError: another kind of file; while iterating, a file that is not what its name says.
    """
    readers = {".jsonl": _json_lines, ".json": _json, ".parquet": _parquet, ".arrow": _arrow}
    if path.suffix not in readers:
        raise ValueError(f"{path}: accepted are {', '.join(readers)} files")
    return Source(str(path), readers[path.suffix](path))


def from_hub(repository: str) -> dict[Split, Source]:
    """All splits of a data set on the hub, or in a local folder that is laid out like one.

    Raises:
        ValueError: it cannot be loaded, or has splits of unknown names.
    """
    import datasets

    try:
        loaded = datasets.load_dataset(repository)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"{repository} cannot be loaded from the hub: {error}. Without access to it, download the files "
            "and give them with --train, --val and --test"
        ) from error
    unknown = [name for name in loaded if name not in HUB_NAMES]
    if unknown:
        raise ValueError(f"{repository} has the splits {unknown}; accepted: {', '.join(HUB_NAMES)}")
    return {
        HUB_NAMES[name]: Source(f"{repository}, split {name}", enumerate(rows, start=1))
        for name, rows in loaded.items()
    }


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, _parsed(line, f"{path}, row {number}")


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, "rb") as file:
        is_list = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return enumerate(_parsed(path.read_bytes(), str(path)), start=1) if is_list else _json_lines(path)


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8, {error}") from None
    except ValueError as error:
        raise ValueError(f"{where}: not JSON, {error}") from None


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a parquet file: {error}") from None
    batches = file.iter_batches(AT_A_TIME)
    return enumerate((row for batch in batches for row in batch.to_pylist()), start=1)


def _arrow(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        try:
            reader = pyarrow.ipc.open_stream(file)  # what `datasets` writes
        except pyarrow.ArrowInvalid:
            file.seek(0)
            try:
                reader = pyarrow.ipc.open_file(file)
            except pyarrow.ArrowInvalid as error:
                raise ValueError(f"{path} is not an Arrow file: {error}") from None
        rows = reader.read_all().to_pylist()
    return enumerate(rows, start=1)

"""Reads and writes files of rows. The only module of the package that knows file formats.

Rows are read one batch at a time. The exception is a `.json` file that holds one list, which is parsed whole.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import UserError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

BATCH_SIZE = 256
"""Rows converted to Python objects at once."""


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Any]]:
    """The rows of a .jsonl, .json (a list, or one object per line), .parquet or .arrow file, with their numbers.

    Numbers count from 1. In files with one object per line, blank lines are skipped but counted.

    Args:
        columns: of a parquet file, read only these; the ones that the file does not have are ignored.

    Raises:
        UserError: another kind of file, or no such file; while iterating, content that does not match the name.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file")
    if path.suffix == ".jsonl":
        return _read_json_lines(path)
    if path.suffix == ".json":
        return _read_json(path)
    if path.suffix == ".parquet":
        file = open_parquet(path)
        if columns is not None:
            columns = [name for name in columns if name in file.schema_arrow.names]
        return _number_rows(file.iter_batches(BATCH_SIZE, columns=columns))
    if path.suffix == ".arrow":
        return _number_rows(_read_arrow(path))
    raise UserError(f"{path}: accepted are .jsonl, .json, .parquet and .arrow files")


def open_parquet(path: Path) -> "pyarrow.parquet.ParquetFile":
    """For the schema (`.schema_arrow`) and the number of rows (`.metadata.num_rows`) without reading the rows.

    Raises:
        UserError: not a parquet file, or no such file.
    """
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a parquet file: {error}") from None


def write_parquet(rows: Sequence[Any], path: Path, schema: "pyarrow.Schema | None" = None) -> None:
    """Writes the whole file, or leaves `path` as it was. Missing folders are created.

    Args:
        schema: inferred from the rows if None.
    """
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(list(rows), schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    pyarrow.parquet.write_table(table, unfinished)
    unfinished.replace(path)


def _number_rows(batches: "Iterable[pyarrow.RecordBatch]") -> Iterator[tuple[int, Any]]:
    parts = (
        batch.slice(start, BATCH_SIZE) for batch in batches for start in range(0, len(batch), BATCH_SIZE)
    )
    return enumerate((row for part in parts for row in part.to_pylist()), start=1)


def _read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, _parse_json(line, f"{path}, row {number}")
                except UserError:
                    _refuse_one_object(path)
                    raise


def _refuse_one_object(path: Path) -> None:
    """Says so of a file that is one JSON value over several lines."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    lists = (
        [name for name, each in value.items() if isinstance(each, list)] if isinstance(value, dict) else []
    )
    inside = (
        f"; its {', '.join(map(repr, lists))} is a list: if that has the rows, save it alone" if lists else ""
    )
    raise UserError(
        f"{path} is a single JSON {'object' if isinstance(value, dict) else 'value'}, pretty-printed over several "
        f"lines{inside}. Expected a .json file with a list of rows, or one row per line"
    )


def _read_json(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, "rb") as file:
        is_list = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return (
        enumerate(_parse_json(path.read_bytes(), str(path)), start=1) if is_list else _read_json_lines(path)
    )


def _parse_json(text: bytes, where: str) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8, {error}") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON, {error}; found {text[:80]!r}") from None


def _read_arrow(path: Path) -> "Iterator[pyarrow.RecordBatch]":
    """Batches of Arrow's stream format, which `datasets` writes, or of its file format."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        try:
            batches = iter(pyarrow.ipc.open_stream(file))
        except pyarrow.ArrowInvalid:
            file.seek(0)
            try:
                reader = pyarrow.ipc.open_file(file)
            except pyarrow.ArrowInvalid as error:
                raise UserError(f"{path} is not an Arrow file: {error}") from None
            batches = map(reader.get_batch, range(reader.num_record_batches))
        yield from batches

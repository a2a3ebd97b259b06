"""The file of finished runs: one JSON object a line, appended as runs end, so that a grid can be resumed.

Shares and rewards are rounded to three digits: their sampling error is in the second.
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiment.grid import Run

if TYPE_CHECKING:
    from experiment.loop import Outcome


@dataclass(frozen=True)
class Result:
    run: Run
    outcome: "Outcome"


def read(path: Path) -> list[Result]:
    """Finished runs, each once; a line cut off when a run was stopped is skipped. `.gz` is unpacked.

    Raises:
        ValueError: a line, other than the last, that is no result.
    """
    from experiment.loop import Outcome

    if not path.exists():
        return []
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        lines = file.read().splitlines()
    results = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            result = Result(Run(**record["run"]), Outcome(**record["outcome"]))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}, line {number}: not a result of this version: {error!r}") from error
        results[result.run.key] = result
    return list(results.values())


def append(path: Path, runs: Sequence[Run], outcomes: Sequence["Outcome"]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(_line(run, outcome) for run, outcome in zip(runs, outcomes, strict=True))
    with path.open("a+b") as file:
        # A line cut off by an interruption must not swallow the first of ours.
        if file.tell() and not _ends_with_newline(path):
            text = "\n" + text
        file.write(text.encode())


def write_compressed(results: Iterable[Result], path: Path) -> None:
    """All results in one file, sorted, the same bytes for the same results."""
    ordered = sorted(results, key=lambda result: json.dumps(asdict(result.run)))
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(_line(result.run, result.outcome) for result in ordered).encode()
    path.write_bytes(gzip.compress(data, mtime=0))


def _line(run: Run, outcome: "Outcome") -> str:
    record = {"run": asdict(run), "outcome": _rounded(asdict(outcome))}
    return json.dumps(record, separators=(",", ":")) + "\n"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() == b"\n"

"""The file of a run: JSON lines, added to after each step, so that any number of steps is worth keeping.

While a run is unfinished, a file beside it holds the tokens of its answers. From both, the run goes on on another
machine, without a checkpoint: the updates are made again, the answers are not sampled again.
"""

import base64
import fcntl
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Run:
    method: str
    seed: int
    learning_rate: float
    steps: int
    evaluated_on: str = "held_out"

    @property
    def name(self) -> str:
        return f"{self.evaluated_on}-{self.method}-lr{self.learning_rate:g}-{self.steps}-seed{self.seed}"


class File:
    """Records of one run."""

    def __init__(self, folder: Path, run: Run):
        self.run = run
        self.path = folder / f"{run.name}.jsonl"
        self.tokens_path = folder / f"{run.name}.tokens.jsonl"

    def steps(self) -> list[dict[str, Any]]:
        """Of the training, in order."""
        return [record for record in _read(self.path) if "gradient_norm" in record]

    def evaluations(self) -> list[dict[str, Any]]:
        return [record for record in _read(self.path) if "met" in record]

    def finished(self) -> bool:
        return any(record["step"] == self.run.steps for record in self.evaluations())

    def add(self, record: dict[str, Any]) -> None:
        if not self.path.exists():
            _append(self.path, {"run": asdict(self.run)})
        _append(self.path, record)

    def add_tokens(self, step: int, answer_NT: np.ndarray) -> None:
        data = base64.b64encode(zlib.compress(answer_NT.astype(np.uint16).tobytes(), 9)).decode()
        _append(self.tokens_path, {"step": step, "shape": list(answer_NT.shape), "tokens": data})

    def tokens(self) -> dict[int, np.ndarray]:
        """By step."""
        return {
            record["step"]: np.frombuffer(
                zlib.decompress(base64.b64decode(record["tokens"])), np.uint16
            ).reshape(record["shape"])
            for record in _read(self.tokens_path)
        }

    def keep_up_to(self, step: int) -> None:
        """Removes what was recorded after `step`."""
        for path in (self.path, self.tokens_path):
            if path.exists():
                kept = [record for record in _read(path) if record.get("step", 0) <= step]
                path.write_text("".join(json.dumps(record) + "\n" for record in kept))


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether what `path` stands for is this process's until the block ends: several work side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def read_runs(folder: Path) -> list[File]:
    """Every run of which there is a file."""
    files = sorted(path for path in folder.glob("*.jsonl") if not path.name.endswith(".tokens.jsonl"))
    return [File(folder, Run(**_read(path)[0]["run"])) for path in files]


def _append(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def _read(path: Path) -> list[dict[str, Any]]:
    """The records; the last line may have been cut off when a run was stopped."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]

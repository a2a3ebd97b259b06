"""Reads the files of a training for the page: verl's metrics and dumps, and the log of a judge.

A dump is `STEP.jsonl` in `trainer.rollout_data_dir` or `trainer.validation_data_dir`, a line for each answer. Files may
still be written to. A damaged line is reported and left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from rvpo_verl.errors import UserError
from rvpo_verl.names import SETTINGS, TRAINED
from rvpo_verl.report.logs import labels
from rvpo_verl.rewards.vector import KEY, RewardVector

ROLLOUTS, VALIDATION = "rollouts", "validation"
METRICS, CALLS = "metrics*.jsonl", "judge*.jsonl"


@dataclass(frozen=True)
class RunFiles:
    """Where the parts of a run are; any of them may be absent."""

    label: str
    metrics: list[Path] = field(default_factory=list)
    """In the order of the run's starts."""
    rollouts: list[Path] = field(default_factory=list)
    """By step."""
    validation: list[Path] = field(default_factory=list)
    calls: list[Path] = field(default_factory=list)

    @property
    def all(self) -> list[Path]:
        return [*self.metrics, *self.rollouts, *self.validation, *self.calls]


def find_run(
    path: Path,
    rollouts: Path | None = None,
    validation: Path | None = None,
    calls: Path | None = None,
    label: str | None = None,
) -> RunFiles:
    """
    Args:
        path: folder of a run, as recipes and demo write it, or a file of verl's file logger.
        rollouts, validation: folders of dumps that are elsewhere.
        calls: log of a judge that is elsewhere.
        label: the run's name in the page; that of the path if None.

    Raises:
        UserError: there is nothing to show.
    """
    folder = path if path.is_dir() else None
    if folder is None and not path.is_file():
        raise UserError(f"{path}: there is no such folder or file")
    found = RunFiles(
        label=label or labels([path])[0],
        metrics=_numbered(path, METRICS) if folder else [path],
        rollouts=_numbered(rollouts or (folder and folder / ROLLOUTS)),
        validation=_numbered(validation or (folder and folder / VALIDATION)),
        calls=[calls] if calls else _numbered(folder, CALLS),
    )
    if not found.all:
        raise UserError(
            f"{path}: nothing to show; expected {METRICS} of verl's file logger, or dumps in {ROLLOUTS}/ "
            f"(trainer.rollout_data_dir) and {VALIDATION}/ (trainer.validation_data_dir)"
        )
    return found


def _numbered(folder: Path | None, pattern: str = "*.jsonl") -> list[Path]:
    def key(path: Path) -> tuple[int, str]:
        number = re.search(r"\d+", path.stem)
        return (int(number[0]) if number else -1), path.name

    return sorted(folder.glob(pattern), key=key) if folder else []


class Problems:
    """What was left out, in a few lines."""

    SHOWN = 20

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def add(self, where: str, what: object) -> None:
        self.count += 1
        if self.count <= self.SHOWN:
            self.lines.append(f"{where}: {what}")


def read_lines(path: Path, problems: Problems, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSONL file, with the offsets of their lines."""
    where = f"{path.parent.name}/{path.name}"
    with open(path, "rb") as file:
        offset = start
        file.seek(start)
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield offset, parse(line)
                except ValueError as error:
                    unfinished = (
                        "" if line.endswith(b"\n") else " (the last line, perhaps still being written)"
                    )
                    problems.add(f"{where}, line {number}", f"left out, {error}{unfinished}")
            offset += len(line)


def parse(line: bytes) -> dict[str, Any]:
    """
    Raises:
        ValueError: it is not a JSON object.
    """
    try:
        row = orjson.loads(line)
    except ValueError:
        row = json.loads(line)  # NaN, which verl writes for a missing number
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    return row


@dataclass(frozen=True)
class Answer:
    """A line of a dump, without its texts."""

    group: str
    output: int
    """Number of the output within its agent session; the last one is scored."""
    session: str
    score: float
    """verl's scalar score."""
    vector: RewardVector
    trained: float | None
    """The advantage that it was trained with."""
    settings: Mapping[str, Any] | None
    """What computed it."""


def read_answer(row: Mapping[str, Any], number: int, reward_names: tuple[str, ...] = ()) -> Answer:
    """
    Args:
        number: of the row in its file.
        reward_names: keys of rewards where the row has no vector.

    Raises:
        ValueError: not a line of verl's dumps.
    """
    score, prompt = row.get("score"), row.get("input")
    if (
        not isinstance(score, int | float)
        or not isinstance(prompt, str)
        or not isinstance(row.get("output"), str)
    ):
        raise ValueError("expected verl's input, output and score")
    # V1: `GROUP_SESSION_OUTPUT`. V0 names no group in validation; answers to the same prompt are one.
    group, *numbers = str(row["uid"]).rsplit("_", 2) if row.get("uid") else (prompt,)
    session, output = numbers if len(numbers) == 2 else (str(number), "0")
    settings = row.get(SETTINGS)
    return Answer(
        group=group,
        session=session,
        output=int(output) if output.isdigit() else 0,
        score=float(score),
        vector=_vector(row, reward_names, float(score)),
        trained=_number(row.get(TRAINED)),
        settings=settings if isinstance(settings, dict) else None,
    )


def _vector(row: Mapping[str, Any], names: tuple[str, ...], score: float) -> RewardVector:
    text = row.get(KEY)
    if isinstance(text, str):
        try:
            vector = RewardVector.loads(text)
            values = [*vector.scores.values(), *vector.weights.values()]
            if all(value is None or isinstance(value, int | float) for value in values):
                return vector
        except (TypeError, AttributeError):
            pass
        raise ValueError(f"{KEY} is not a reward vector")
    scores = {name: _number(row.get(name)) for name in names if name in row}
    return RewardVector(scores or {"score": score})


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None

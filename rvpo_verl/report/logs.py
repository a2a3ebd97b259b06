"""Reads what verl's file logger writes: a line is `{"step": 3, "data": {"rvpo/k": 2.0, ...}}`.

A step may have several lines.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows

TRAINED = re.compile(r"rvpo/(?P<name>.+)/mean")
VALIDATED = re.compile(r"val-(?:aux|core)/(?P<source>.+)/(?P<name>[^/]+)/mean@\d+")
SCORE = "reward"
"""Name under which verl validates its scalar score."""

Curve = list[tuple[int, float]]


def read_curves(*logs: Path) -> dict[str, Curve]:
    """Every metric of a run by step; one that never was a finite number has no points.

    Args:
        logs: of a run that was resumed, in the order of its starts; a later one replaces the steps it repeats.

    Raises:
        UserError: no steps in a log, or a line that the file logger did not write.
    """
    metrics: dict[str, dict[int, float]] = {}
    for log in logs:
        steps = 0
        for number, row in read_rows(log):
            step, data = _parse(f"{log}, row {number}", row)
            steps += 1
            merge(metrics, step, data)
        if not steps:
            raise UserError(
                f"{log}: no steps in it; expected a JSONL file of verl's file logger (trainer.logger=[file])"
            )
    return {name: sorted(points.items()) for name, points in metrics.items()}


def merge(metrics: dict[str, dict[int, float]], step: int, data: Mapping[str, Any]) -> None:
    """Adds what was logged for a step; what was there before of the same step and name is replaced."""
    for name, value in data.items():
        points = metrics.setdefault(name, {})
        if isinstance(value, int | float) and math.isfinite(value):
            points[step] = value


def trained(curves: dict[str, Curve]) -> dict[str, Curve]:
    """Mean of each reward in training, by name."""
    matches = {name: TRAINED.fullmatch(name) for name in curves}
    return {match["name"]: curves[name] for name, match in matches.items() if match and curves[name]}


def validated(curves: dict[str, Curve]) -> dict[str, dict[str, Curve]]:
    """The same on validation prompts, by name and data source; `SCORE` is verl's scalar score."""
    found: dict[str, dict[str, Curve]] = {}
    for name, curve in curves.items():
        match = VALIDATED.fullmatch(name)
        if match is not None and curve:
            found.setdefault(match["name"], {})[match["source"]] = curve
    return found


def labels(runs: Sequence[Path]) -> list[str]:
    """The name of each file or folder, with as many of its folders as it takes to tell them apart."""
    paths = [Path(run).absolute() for run in runs]
    names = [path if path.is_dir() else path.with_suffix("") for path in paths]
    depth = 1
    while True:
        found = ["/".join(name.parts[-depth:]) for name in names]
        if len(set(found)) == len(set(paths)) or depth >= max(len(name.parts) for name in names):
            return found
        depth += 1


def _parse(where: str, row: Any) -> tuple[int, dict[str, Any]]:
    try:
        return int(row["step"]), dict(row["data"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f'{where}: {type(error).__name__}: {error}; expected {{"step": ..., "data": {{...}}}}, as verl\'s file '
            "logger writes it"
        ) from error

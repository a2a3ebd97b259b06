"""Reads inspect's logs for `rvpo-verl compare`: one per task, from files and folders.

Through `inspect_ai.log`, whose objects are typed, rather than the data frames of `inspect_ai.analysis`: a score by
group needs every verdict of a sample, which a data frame holds as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import UserError
from rvpo_verl.evaluation.scores import SampleScores, sample_scores

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

LOGS = (".eval", ".json")
NO_LOGS = {"logs.json", "eval-set.json"}
"""Other files that inspect writes into the folder of an eval set."""
SKIPPED = {"messages", "events", "store", "attachments", "output", "timelines"}
"""Fields of a sample that make up most of a log and contain no score."""

Key = tuple[str, int]
"""A sample's id and epoch."""


@dataclass(frozen=True)
class Result:
    """One task of one checkpoint."""

    task: str
    path: Path
    model: str
    settings: dict[str, Any]
    """Settings that must be equal for two logs to be comparable, by name."""
    expected: int
    """Samples of the task times epochs."""
    samples: dict[Key, SampleScores] = field(repr=False)


@dataclass(frozen=True)
class Log:
    path: Path
    header: "EvalLog"


def find_logs(path: Path) -> dict[str, Log]:
    """By task: the log, or of a folder the newest finished log of each task.

    Raises:
        UserError: no log there, or logs of several models on one task.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in LOGS and file.name not in NO_LOGS)
    found: dict[str, list[Log]] = {}
    for file in files:
        log = Log(file, _read(file, header_only=True))
        found.setdefault(_task(log.header), []).append(log)
    if not found:
        raise UserError(
            f"{path}: no logs in it; expected a log of inspect (.eval or .json), or a folder of them"
        )
    for task, logs in found.items():
        models = sorted({log.header.eval.model for log in logs})
        if len(models) > 1:
            raise UserError(f"{path} has {task} of several models, {', '.join(models)}: name the logs")
    return {task: max(logs, key=_preference) for task, logs in found.items()}


def _preference(log: Log) -> tuple[bool, str, int]:
    """The modification time decides between logs of the same second, the resolution of `created`."""
    return log.header.status == "success", log.header.eval.created, log.path.stat().st_mtime_ns


def read_result(log: Log) -> Result:
    """
    Raises:
        UserError: no sample has a score, or one that is not known.
    """
    samples = {}
    for sample in _read(log.path).samples or []:
        scores = sample_scores(sample)
        if scores is not None:
            samples[str(sample.id), sample.epoch] = scores
    if not samples:
        raise UserError(
            f"{log.path} ({log.header.status}) has no sample with a score; run the same scripts/eval.sh again to "
            "finish it"
        )
    spec, results = log.header.eval, log.header.results
    epochs = spec.config.epochs or 1
    arguments = dict(spec.task_args)
    settings = {
        "judge": arguments.pop("judge_model", None),
        "limit": spec.config.limit,
        "epochs": epochs,
        "task arguments": arguments,
        "generation settings": spec.model_generate_config.model_dump(
            include={"temperature", "top_p", "top_k", "max_tokens", "system_message"}, exclude_none=True
        ),
        "provider": spec.model.partition("/")[0],
    }
    expected = results.total_samples if results else (spec.dataset.samples or 0) * epochs
    return Result(_task(log.header), log.path, spec.model, settings, expected, samples)


def labels(paths: Sequence[Path]) -> list[str]:
    """The shortest distinct parts of the paths: `gdpo` and `rvpo` for `runs/gdpo/bfcl` and `runs/rvpo/bfcl`."""
    parts = [(path if path.is_dir() else path.with_suffix("")).resolve().parts for path in paths]
    while len(set(parts)) > 1 and len({one[-1] for one in parts}) == 1:
        parts = [one[:-1] for one in parts]
    depth = 1
    while len({one[-depth:] for one in parts}) < len(set(parts)):
        depth += 1
    return ["/".join(one[-depth:]) for one in parts]


def _read(file: Path, header_only: bool = False) -> "EvalLog":
    from inspect_ai.log import read_eval_log

    try:
        return read_eval_log(file, header_only=header_only, exclude_fields=None if header_only else SKIPPED)
    except Exception as error:  # a broken zip file or unrelated JSON raises many types
        raise UserError(
            f"{file} cannot be read as a log of inspect: {type(error).__name__}: {error}"
        ) from error


def _task(log: "EvalLog") -> str:
    """Without the package, so that `inspect_evals/healthbench` equals `rvpo_verl/healthbench`."""
    return log.eval.task.rpartition("/")[2]

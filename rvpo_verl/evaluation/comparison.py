"""The results of one checkpoint, or of several compared on one task, paired by sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rvpo_verl.errors import UserError
from rvpo_verl.evaluation import paired
from rvpo_verl.evaluation.logs import Key, Result, find_logs, labels, read_result
from rvpo_verl.evaluation.paired import Compared
from rvpo_verl.evaluation.scores import OVERALL

SHOWN = 5
"""Samples named in a warning."""


@dataclass(frozen=True)
class Row:
    kind: str
    """`axis`, `theme`, `category` or `domain`; empty for all samples."""
    name: str
    compared: Compared
    p_values: list[float]
    """Of the differences, corrected by Holm's method."""


@dataclass(frozen=True)
class Comparison:
    task: str
    labels: list[str]
    """Of the logs. The others are compared with the first."""
    samples: int
    answers: int
    """Pairs of sample and epoch that all logs have."""
    rows: list[Row]
    warnings: list[str]
    unread: float
    """The largest share, over the logs, of the judge's verdicts that could not be read."""


def compare_logs(
    paths: Sequence[Path], *, resamples: int = paired.RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """One comparison per task that all paths have; a single path is compared with nothing.

    A task without a score is left out with a warning, so that it hides no other's.

    Raises:
        UserError: no path, no task or no sample in common, or a log that cannot be read.
    """
    if not paths:
        raise UserError("no log: expected one or more, of which the first is the baseline")
    found = [find_logs(path) for path in paths]
    tasks = [task for task in found[0] if all(task in logs for logs in found)]
    if not tasks:
        described = "; ".join(f"{path}: {', '.join(logs)}" for path, logs in zip(paths, found, strict=True))
        raise UserError(f"the logs have no task in common: {described}")
    names = labels(paths)
    comparisons, left_out = [], []
    for task in tasks:
        try:
            results = [read_result(logs[task]) for logs in found]
            comparisons.append(compare(results, names, resamples=resamples, seed=seed))
        except UserError as error:
            left_out.append(str(error))
    if not comparisons:
        raise UserError("; ".join(left_out))
    comparisons[0].warnings.extend(f"a task is left out: {reason}" for reason in left_out)
    return comparisons


def compare(
    results: Sequence[Result], names: Sequence[str], *, resamples: int = paired.RESAMPLES, seed: int = 0
) -> Comparison:
    """
    Samples are paired by id and epoch. A sample's epochs are averaged before resampling, because four answers to one
    question are not independent.

    Raises:
        UserError: no sample in common.
    """
    common = sorted(set.intersection(*(set(result.samples) for result in results)))
    if not common:
        raise UserError(
            f"{results[0].task}: no sample is in all logs, by id and epoch: "
            + "; ".join(f"{result.path} has {_some(result)}" for result in results)
        )
    values = {group: _values(results, common, group) for group in _groups(results, common)}
    clipped = any(result.samples[key].clipped for result in results for key in common[:1])
    statistic = paired.clipped_mean if clipped else paired.mean
    rows = []
    for (kind, name), values_LN in values.items():
        compared = paired.compare(values_LN, statistic, resamples=resamples, seed=seed)
        rows.append(Row(kind, name, compared, paired.holm([one.p for one in compared.differences])))
    return Comparison(
        task=results[0].task,
        labels=list(names),
        samples=len({sample for sample, _ in common}),
        answers=len(common),
        rows=rows,
        warnings=_warnings(results, names, common),
        unread=max(_share_unread(result, common) for result in results),
    )


def _share_unread(result: Result, common: Sequence[Key]) -> float:
    verdicts = sum(result.samples[key].verdicts for key in common)
    return sum(result.samples[key].unread for key in common) / verdicts if verdicts else 0.0


def _groups(results: Sequence[Result], common: Sequence[Key]) -> list[tuple[str, str]]:
    """Overall first, then alphabetically by kind and name."""
    groups = {group for result in results for key in common for group in result.samples[key].groups}
    return sorted(groups, key=lambda group: (group != ("", OVERALL), group))


def _values(results: Sequence[Result], common: Sequence[Key], group: tuple[str, str]) -> np.ndarray:
    """(L, N) scores of the samples that have the group in all logs, averaged over epochs."""
    epochs: dict[str, list[Key]] = {}
    for key in common:
        if all(group in result.samples[key].groups for result in results):
            epochs.setdefault(key[0], []).append(key)
    return np.array(
        [
            [np.mean([result.samples[key].groups[group] for key in keys]) for keys in epochs.values()]
            for result in results
        ]
    )


def _warnings(results: Sequence[Result], names: Sequence[str], common: Sequence[Key]) -> list[str]:
    warnings = []
    for setting in results[0].settings:
        given = [result.settings[setting] for result in results]
        if any(one != given[0] for one in given):
            described = ", ".join(f"{name} {value}" for name, value in zip(names, given, strict=True))
            warnings.append(f"the {setting} differs: {described}")
    for result, name in zip(results, names, strict=True):
        if len(result.samples) < result.expected:
            missing = result.expected - len(result.samples)
            warnings.append(
                f"{name}: {missing} of {result.expected} answers have no score: unfinished, or failed"
            )
        if len(result.samples) > len(common):
            warnings.append(
                f"{name}: {len(result.samples) - len(common)} answers are not in all logs, and left out"
            )
        verdicts = sum(result.samples[key].verdicts for key in common)
        unread = sum(result.samples[key].unread for key in common)
        if unread:
            warnings.append(
                f"{name}: {unread} of {verdicts} of the judge's verdicts could not be read, and count as not met"
            )
        unanswered = {key: reason for key in common if (reason := result.samples[key].unanswered)}
        if unanswered:
            warnings.append(
                f"{name}: {len(unanswered)} of {len(common)} answers count as failed: {_by_reason(unanswered)}"
            )
    unanswerable = {key: reason for key in common if (reason := results[0].samples[key].unanswerable)}
    if unanswerable:
        warnings.append(
            f"{len(unanswerable)} samples count as failed for every log, because of the benchmark's own defects: "
            + _by_reason(unanswerable)
        )
    return warnings


def _by_reason(reasons: Mapping[Key, str]) -> str:
    """Each reason with how often it occurs, and the first few samples."""
    samples: dict[str, list[str]] = {}
    for (sample, _), reason in sorted(reasons.items()):
        samples.setdefault(reason, []).append(sample)
    return "; ".join(
        f"{len(named)} x {reason} ({', '.join(named[:SHOWN])}{', ...' * (len(named) > SHOWN)})"
        for reason, named in samples.items()
    )


def _some(result: Result) -> str:
    shown = [f"{sample} (epoch {epoch})" for sample, epoch in sorted(result.samples)[:3]]
    return ", ".join(shown) + (", ..." if len(result.samples) > len(shown) else "")

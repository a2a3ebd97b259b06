"""Which groups of a dump the page shows: half of them those whose rewards disagree most, half drawn at random.

A dump is read twice: once for its rewards, which is all that is kept of it, and once for the lines that were chosen.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from rvpo_verl.core import RewardBatch, Settings
from rvpo_verl.core.advantage import advantage
from rvpo_verl.core.aggregations import AggregationContext
from rvpo_verl.names import family
from rvpo_verl.report.read import Answer, Problems, parse, read_answer, read_lines


@dataclass(frozen=True)
class Group:
    """Answers to one prompt in one step."""

    step: int
    prompt: str
    truth: Any
    answers: list[Answer]
    outputs: list[str]
    """Texts of the answers."""


@dataclass(frozen=True)
class Chosen:
    groups: list[Group]
    of: int
    """Groups in the file."""
    answers: int
    """Answers in the file."""
    means: Mapping[str, float]
    """Mean of each reward in the file, by the name that it is logged under."""


def choose(
    path: Path, limit: int, problems: Problems, *, by_prompt: bool = False, reward_names: tuple[str, ...] = ()
) -> Chosen:
    """
    Args:
        path: a dump of one step.
        limit: groups to choose at most.
        by_prompt: choose the same prompts in every step instead.
    """
    where = f"{path.parent.name}/{path.name}"
    sessions: dict[tuple[str, str], tuple[Answer, int, str]] = {}
    for number, (offset, row) in enumerate(read_lines(path, problems)):
        try:
            answer = read_answer(row, number, reward_names)
        except (ValueError, KeyError) as error:
            problems.add(f"{where}, line at byte {offset}", f"left out, {error}")
            continue
        key = answer.group, answer.session
        if key not in sessions or answer.output >= sessions[key][0].output:
            digest = hashlib.blake2b(row["input"].encode(errors="replace"), digest_size=8).hexdigest()
            sessions[key] = answer, offset, digest
    groups: dict[str, list[tuple[Answer, int, str]]] = {}
    for (group, _), entry in sessions.items():
        groups.setdefault(group, []).append(entry)

    ranked = _by_prompt(groups) if by_prompt else _by_conflict(groups, limit)
    kept = [groups[group] for group in ranked[:limit]]
    with open(path, "rb") as file:
        chosen = [_read_group(file, entries, path) for entries in kept]
    return Chosen(chosen, len(groups), len(sessions), _means(answer for answer, _, _ in sessions.values()))


def _means(answers: Iterable[Answer]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for answer in answers:
        for name, score in answer.vector.scores.items():
            if score is not None:
                values.setdefault(family(name), []).append(score)
    return {name: fmean(scores) for name, scores in values.items()}


def _by_prompt(groups: Mapping[str, list[tuple[Answer, int, str]]]) -> list[str]:
    return sorted(groups, key=lambda group: groups[group][0][2])


def _by_conflict(groups: Mapping[str, list[tuple[Answer, int, str]]], limit: int) -> list[str]:
    """Alternately the group with the largest conflict that is left, and one drawn at random."""
    if len(groups) <= limit:
        return list(groups)
    names = list(groups)
    conflict = dict(
        zip(names, conflicts([[entry[0] for entry in groups[name]] for name in names]), strict=True)
    )
    drawn = sorted(names, key=lambda name: hashlib.blake2b(name.encode(errors="replace")).digest())
    worst = sorted(names, key=conflict.__getitem__, reverse=True)
    return list(dict.fromkeys(name for pair in zip(worst, drawn, strict=True) for name in pair))


def conflicts(groups: list[list[Answer]]) -> Iterator[float]:
    """How much the rewards of each group disagree: the variance of Z over the rewards of an answer, on average."""
    answers = [answer for group in groups for answer in group]
    group_B = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    batch = RewardBatch.from_vectors([answer.vector for answer in answers], group_B, torch.ones(len(answers)))
    steps = advantage(batch, Settings(whitening="none"), AggregationContext())
    z_BM, weight_BM = steps.standardized.z_BM, steps.weight_BM
    mean_B1 = (weight_BM * z_BM).sum(dim=1, keepdim=True)
    variance_B = (weight_BM * (z_BM - mean_B1).square()).sum(dim=1).numpy()
    total_G = np.bincount(group_B, weights=variance_B, minlength=len(groups))
    return iter((total_G / np.bincount(group_B, minlength=len(groups))).tolist())


def _read_group(file: Any, entries: list[tuple[Answer, int, str]], path: Path) -> Group:
    rows = []
    for _, offset, _ in entries:
        file.seek(offset)
        rows.append(parse(file.readline()))
    step = rows[0].get("step")
    return Group(
        step=step if isinstance(step, int) else int(path.stem) if path.stem.isdigit() else 0,
        prompt=rows[0]["input"],
        truth=rows[0].get("gts"),
        answers=[answer for answer, _, _ in entries],
        outputs=[row["output"] for row in rows],
    )

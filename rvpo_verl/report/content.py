"""What the page carries: numbers in columns, texts in compressed parts.

Memory holds the numbers of the chosen groups, the rewards of one dump at a time, and texts only in compressed form.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rvpo_verl.judge.prompt import clean
from rvpo_verl.report.calls import beginning, read_prompt
from rvpo_verl.report.logs import TRAINED as TRAINED_METRIC
from rvpo_verl.report.logs import VALIDATED, merge
from rvpo_verl.report.read import Problems, RunFiles, read_lines
from rvpo_verl.report.select import Group, choose
from rvpo_verl.report.texts import Texts, as_text, redact

VALIDATION_SHARE = 0.25
"""Of the groups that are shown, where there are both."""
CALLS_OF_ANSWER = 100


@dataclass(frozen=True)
class Limits:
    groups: int = 2000
    """Of all runs together."""
    chars: int = 100_000
    """Of one text; the middle of a longer one is left out."""


@dataclass(frozen=True)
class Content:
    index: bytes
    """JSON."""
    parts: list[str]
    """Texts: base64 of gzipped JSON lists."""
    problems: list[str]
    groups: int
    answers: int


def gather(runs: list[RunFiles], limits: Limits | None = None) -> Content:
    """Everything that the page shows of one or more runs."""
    limits = limits or Limits()
    builder = _Builder(limits)
    for run in runs:
        builder.add_run(run, limits.groups // len(runs))
    return builder.content()


class _Builder:
    def __init__(self, limits: Limits) -> None:
        self._texts = Texts(limits.chars)
        self._problems = Problems()
        self._runs: list[dict[str, Any]] = []
        self._names: dict[tuple[str, ...], int] = {}
        self._settings: dict[bytes, int] = {}
        columns = ("run", "step", "validation", "prompt", "truth", "size", "names", "settings")
        self._groups: dict[str, list[Any]] = {name: [] for name in columns}
        answers = ("rewards", "weights", "score", "trained", "text")
        self._answers: dict[str, list[Any]] = {name: [] for name in answers}
        self._notes: dict[int, dict[str, Any]] = {}
        """By answer: causes of failures, texts that rewards returned, calls of the judge."""
        self._judged: dict[str, list[tuple[int, int, str]]] = {}
        """Answers by the beginning of their text as a judge reads it: number, step, prompt."""

    def add_run(self, run: RunFiles, limit: int) -> None:
        metrics = self._metrics(run.metrics)
        names = tuple(match[1] for name in metrics if (match := TRAINED_METRIC.fullmatch(name)))
        self._judged.clear()
        shown: dict[str, dict[str, int]] = {}
        for what, dumps in (("validation", run.validation), ("rollouts", run.rollouts)):
            share = int(limit * VALIDATION_SHARE) if what == "validation" and run.rollouts else limit
            share = max(1, share - sum(counts["groups"] for counts in shown.values()))
            dumps = dumps[:: max(1, -(-len(dumps) // share))]
            counts = shown[what] = {"groups": 0, "of": 0, "answers": 0}
            for read, path in enumerate(dumps):
                # What a small dump does not need is left to the next ones.
                quota = (share - counts["groups"]) // (len(dumps) - read)
                chosen = choose(
                    path, max(1, quota), self._problems, by_prompt=what == "validation", reward_names=names
                )
                for group in chosen.groups:
                    self._add_group(group, what == "validation", metrics)
                if what == "rollouts" and chosen.groups:
                    # Other estimators than rvpo log only the sum.
                    for name, mean in chosen.means.items():
                        if name != "score":
                            metrics.setdefault(f"rvpo/{name}/mean", {}).setdefault(
                                chosen.groups[0].step, mean
                            )
                counts["groups"] += len(chosen.groups)
                counts["of"] += chosen.of
                counts["answers"] += chosen.answers
        calls = self._add_calls(run.calls)
        steps = sorted({step for points in metrics.values() for step in points})
        self._runs.append(
            {
                "label": run.label,
                "shown": shown,
                "calls": calls,
                "steps": steps,
                "metrics": {
                    name: [_short(points.get(step)) for step in steps]
                    for name, points in metrics.items()
                    if points
                },
            }
        )

    def content(self) -> Content:
        self._texts.close()
        index = {
            "runs": self._runs,
            "names": list(self._names),
            "settings": [orjson.loads(text) for text in self._settings],
            "groups": self._groups,
            "answers": self._answers,
            "notes": {str(answer): notes for answer, notes in self._notes.items()},
            "text_parts": self._texts.firsts,
            "problems": self._problems.lines,
            "problem_count": self._problems.count,
            "validated": VALIDATED.pattern,
        }
        return Content(
            index=orjson.dumps(index),
            parts=self._texts.parts,
            problems=self._problem_lines(),
            groups=len(self._groups["size"]),
            answers=len(self._answers["score"]),
        )

    def _problem_lines(self) -> list[str]:
        more = self._problems.count - len(self._problems.lines)
        return [*self._problems.lines, *([f"and {more} more"] if more else [])]

    def _metrics(self, logs: Iterable[Path]) -> dict[str, dict[int, float]]:
        metrics: dict[str, dict[int, float]] = {}
        for log in logs:
            for _, row in read_lines(log, self._problems):
                if isinstance(row.get("step"), int) and isinstance(row.get("data"), dict):
                    merge(metrics, row["step"], row["data"])
                else:
                    self._problems.add(
                        f"{log.parent.name}/{log.name}", 'left out a line without "step" and "data"'
                    )
        return metrics

    def _add_group(self, group: Group, validation: bool, metrics: Mapping[str, Mapping[int, float]]) -> None:
        names = tuple(dict.fromkeys(name for answer in group.answers for name in answer.vector.scores))
        settings = group.answers[0].settings
        if settings is None:
            k = metrics.get("rvpo/k", {}).get(group.step)
            settings = {} if k is None else {"k": k}
        for name, value in (
            ("run", len(self._runs)),
            ("step", group.step),
            ("validation", int(validation)),
            ("prompt", self._texts.add(group.prompt)),
            ("truth", None if group.truth in (None, "") else self._texts.add(as_text(group.truth))),
            ("size", len(group.answers)),
            ("names", self._names.setdefault(names, len(self._names))),
            ("settings", self._settings.setdefault(orjson.dumps(settings), len(self._settings))),
        ):
            self._groups[name].append(value)
        prompt = clean(group.prompt)
        for answer, output in zip(group.answers, group.outputs, strict=True):
            number = len(self._answers["score"])
            vector = answer.vector
            self._answers["rewards"] += map(vector.scores.get, names)
            self._answers["weights"] += [vector.weights.get(name, 1.0) for name in names]
            self._answers["score"].append(answer.score)
            self._answers["trained"].append(answer.trained)
            self._answers["text"].append(self._texts.add(output))
            notes = {
                "failures": {name: redact(cause) for name, cause in vector.failures.items()},
                "texts": {name: self._texts.add(as_text(text)) for name, text in vector.texts.items()},
                "disagreements": vector.disagreements,
            }
            notes = {name: value for name, value in notes.items() if value}
            if notes:
                self._notes[number] = notes
            self._judged.setdefault(beginning(clean(output)), []).append((number, group.step, prompt))

    def _add_calls(self, logs: Iterable[Path]) -> dict[str, int]:
        """Puts the calls about the answers that are shown to them."""
        total = matched = 0
        for log in logs:
            for _, call in read_lines(log, self._problems):
                total += 1
                found = read_prompt(call.get("prompt"))
                if found is None:
                    continue
                answer, last_message, question = found
                numbers = [
                    number
                    for number, step, prompt in self._judged.get(beginning(answer), ())
                    if call.get("step") in (None, step) and last_message in prompt
                ]
                matched += bool(numbers)
                shown = {
                    "question": self._texts.add(question),
                    "reply": None if call.get("reply") is None else self._texts.add(as_text(call["reply"])),
                    "verdict": None if call.get("verdict") is None else as_text(call["verdict"])[:200],
                    "cause": None if call.get("cause") is None else redact(as_text(call["cause"]))[:500],
                }
                for number in numbers:
                    calls = self._notes.setdefault(number, {}).setdefault("calls", [])
                    if len(calls) < CALLS_OF_ANSWER:
                        calls.append(shown)
        return {"total": total, "shown": matched}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.7g}")

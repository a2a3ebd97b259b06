"""What `rvpo-verl demo` prints: progress while it runs, then what training changed."""

import time
from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from rvpo_verl.cpu.demo import DemoResult
from rvpo_verl.cpu.demo_scores import BOTH, Change
from rvpo_verl.cpu.model_demo import ModelDemoResult


class DemoProgress:
    """Shows each stage as a live bar on a terminal, else as a line for each twentieth of its steps."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, TextColumn("{task.fields[figures]}"), console=console)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        """When a stage first reported, and at which step. The time before that is not part of the estimate."""
        self._shown: dict[str, int] = {}

    def __enter__(self) -> "DemoProgress":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:  # otherwise it would print an empty line
            self._bars.stop()

    def message(self, text: str) -> None:
        self._console.print(text)

    def progress(self, stage: str, step: int, steps: int, figures: Mapping[str, float]) -> None:
        shown = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=steps, figures=shown)
            self._bars.update(self._tasks[stage], completed=step, figures=shown)
            return
        twentieth = 20 * step // steps
        if self._shown.get(stage) == twentieth:
            return
        self._shown[stage] = twentieth
        started, first = self._started.setdefault(stage, (time.monotonic(), step))
        left = (time.monotonic() - started) / max(1, step - first) * (steps - step)
        eta = f"{left:.0f} s left  " if step > first and left else ""
        self._console.print(f"{stage} {step}/{steps}  {eta}{shown}")


def print_result(console: Console, result: DemoResult) -> None:
    """The table of rewards, a sentence for each, and where the files are."""
    table = Table(
        box=SIMPLE_HEAD,
        title=f"{result.steps} steps, {result.prompts} held-out prompts, {result.answers} sampled answers",
    )
    table.add_column("reward", no_wrap=True)
    for column in ("sampled\nbefore", "\nafter", "moved\n± s.e.", "greedy\nbefore", "\nafter"):
        table.add_column(column, justify="right", no_wrap=True)
    for change in result.changes:
        table.add_row(
            change.name,
            *(f"{value:.2f}" for value in change.sampled),
            f"{change.difference:+.2f} ± {change.standard_error:.2f}",
            *(f"{value:.2f}" for value in change.greedy),
        )
    console.print(table)
    console.print(" ".join(verdict(change) for change in result.changes if change.name != BOTH))
    console.print(f"Checkpoint: {result.checkpoint}\nLogs:       {result.metrics}, {result.log}")


def print_model_result(console: Console, result: ModelDemoResult) -> None:
    """The table of rewards, answers before and after, and where the files are."""
    title = f"{result.steps} steps, {result.prompts} held-out prompts, {result.answers} sampled answers"
    table = Table(box=SIMPLE_HEAD, title=title)
    table.add_column("reward", overflow="fold")
    for column in ("before", "after", "moved ± s.e."):
        table.add_column(column, justify="right", no_wrap=True)
    for change in result.changes:
        moved = f"{change.difference:+.2f} ± {change.standard_error:.2f}"
        table.add_row(escape(change.name), f"{change.before:.2f}", f"{change.after:.2f}", moved)
    console.print(table)
    for prompt, before, after in result.samples:
        answers = Table(box=SIMPLE_HEAD, title=escape(" ".join(prompt.split())), title_justify="left")
        for column, answer in (("before", before), ("after", after)):
            answers.add_column(f"{column}\n{escape(answer)}", ratio=1, overflow="fold")
        console.print(answers)
    console.print(
        f"Minutes:    {result.seconds / 60:.0f}, sampled by {result.rollout}\n"
        f"Checkpoint: {result.checkpoint}\nLogs:       {result.metrics}, {result.log}"
    )


def verdict(change: Change) -> str:
    """A change counts as measurable beyond twice its standard error."""
    moved, error = change.difference, change.standard_error
    if not abs(moved) > 2 * error:
        return f"{change.name} did not move measurably ({moved:+.2f} ± {error:.2f})."
    return f"{change.name} {'rose' if moved > 0 else 'fell'} by {abs(moved):.2f} ± {error:.2f}."

"""Finding the runs of a cell among all results."""

from collections.abc import Sequence
from dataclasses import astuple, fields

from experiment.grid import Run
from experiment.methods import METHODS
from experiment.results import Result

DEFAULTS = {field.name: field.default for field in fields(Run)}
SETTINGS = ("rewards", "group_size", "answers", "steps", "flipped", "verdicts")


class Cells:
    def __init__(self, results: Sequence[Result]) -> None:
        # Sorted, so that sums round in the same way and the same runs give the same report.
        self.results = sorted(results, key=lambda result: astuple(result.run))
        # Results without the default length, as those of the quick grid, are compared at their own length.
        steps = sorted({result.run.steps for result in results})
        self.steps = DEFAULTS["steps"] if DEFAULTS["steps"] in steps else steps[0]

    def __call__(self, task: str, method: str, **setting: object) -> list[Result]:
        """Runs of a method on a task; settings that are not named are the main grid's."""
        wanted = {name: DEFAULTS[name] for name in SETTINGS} | {"steps": self.steps} | setting
        return [
            result
            for result in self.results
            if result.run.task == task
            and result.run.method == method
            and all(getattr(result.run, name) == value for name, value in wanted.items())
        ]

    def methods(self, task: str, **setting: object) -> list[str]:
        """Those with runs, in their usual order."""
        return [name for name in METHODS if self(task, name, **setting)]

    def by_setting(self, task: str, name: str, values: Sequence[object]) -> dict[str, list[list[Result]]]:
        """Runs for each value of one setting, of the methods that have all values, in their usual order.

        Only checkpoints that every value has: the main grid has more than the others.
        """
        columns = [{method: self(task, method, **{name: value}) for method in METHODS} for value in values]
        methods = [method for method in METHODS if all(column[method] for column in columns)]
        shared = set.intersection(
            *({run.run.checkpoint for method in methods for run in column[method]} for column in columns)
        )
        return {
            method: [[run for run in column[method] if run.run.checkpoint in shared] for column in columns]
            for method in methods
        }

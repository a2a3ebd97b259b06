"""Turns published rows of one schema into rows for verl."""

from abc import ABC, abstractmethod
from typing import Any

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.options import Options
from rvpo_verl.data.rows import Row


class Reader(ABC):
    def __init__(self, data_source: str, options: Options, findings: Findings) -> None:
        """`findings` receives everything that had to be decided."""
        self.data_source = data_source
        self.options = options
        self.findings = findings

    @abstractmethod
    def read(self, given: Any, where: str, split: str, index: int) -> Row:
        """One row; its rubric may come out empty.

        Raises:
            UserError: it does not fit the schema, or has an ambiguity that the options make an error.
        """

    def finish(self) -> None:  # noqa: B027
        """Adds the findings that need all rows."""

    def build_row(self, prompt: list[dict[str, str]], reference: str, **extra_info: Any) -> Row:
        return {
            "data_source": self.data_source,
            "prompt": prompt,
            "ability": "rubric",
            "reward_model": {"style": "rubric", "ground_truth": reference},
            "extra_info": extra_info,
        }


def build_criterion(text: str, title: str, category: str, weight: float, polarity: int) -> dict[str, Any]:
    return {
        "criterion": text,
        "title": title,
        "category": category,
        "weight": weight,
        "polarity": polarity,
        "levels": 1,
        "judge": "",
    }

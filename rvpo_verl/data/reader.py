"""What turns published rows of one schema into rows for verl."""

from abc import ABC, abstractmethod
from typing import Any

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.options import Options
from rvpo_verl.data.rows import Row


class Reader(ABC):
    def __init__(self, data_source: str, options: Options, findings: Findings) -> None:
        """`findings` receives what had to be decided."""
        self.data_source = data_source
        self.options = options
        self.findings = findings

    @abstractmethod
    def read(self, given: Any, where: str, split: str, index: int) -> Row:
        """One row; its rubric may come out empty.

        Raises:
            ValueError: it does not fit the schema, or what is ambiguous in it is to be an error.
        """

    def finish(self) -> None:  # noqa: B027
        """Notes what only shows when all rows are read."""

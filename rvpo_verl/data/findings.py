"""What was wrong with the data, how often, one example of each, and what was done about it."""

from dataclasses import dataclass, field

from rvpo_verl.data.polarity import Wording


@dataclass
class Finding:
    kind: str
    what: str
    handled: str
    count: int = 0
    where: str = ""
    """The first one."""
    example: str = ""
    """Its text."""


@dataclass
class Pitfalls:
    """Those that were read in one way."""

    count: int
    example: str


@dataclass
class Findings:
    by_kind: dict[str, Finding] = field(default_factory=dict)
    pitfalls: dict[Wording, Pitfalls] = field(default_factory=dict)

    def add(self, kind: str, what: str, handled: str, where: str, text: str = "") -> None:
        """Counts one. `what` and `handled` are sentences that hold for all of this kind."""
        finding = self.by_kind.setdefault(kind, Finding(kind, what, handled))
        finding.count += 1
        if finding.count == 1:
            finding.where, finding.example = where, text

    def add_pitfall(self, wording: Wording, text: str) -> None:
        self.pitfalls.setdefault(wording, Pitfalls(0, text)).count += 1

    def count(self, kind: str) -> int:
        return self.by_kind[kind].count if kind in self.by_kind else 0

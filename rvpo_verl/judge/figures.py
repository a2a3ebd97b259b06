"""What judging cost: calls, tokens, time."""

from dataclasses import dataclass, field


@dataclass
class Figures:
    """Of one response, or of several."""

    calls: int = 0
    retries: int = 0
    """Calls after the first on a question."""
    tokens_in: int = 0
    """Read by the judge."""
    tokens_out: int = 0
    """Written by it."""
    latency: list[float] = field(default_factory=list)
    """Seconds of each call that brought a completion."""

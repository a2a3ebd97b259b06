"""Detects from the metrics of a run what stops several rewards from being learned.

    frozen       a reward is constant in nearly every group and low, although better values occurred: what
                 never varies within a group is never learned, however long the training continues
    neglected    a reward falls while most of the others rise
    absent       no response has a reward: it applies to none of the data, or always fails
    no_signal    no reward with a weight varies in any group, so that every advantage is 0

Each is reported once a reward, in one line, and logged on every step as `rvpo/NAME/frozen` and
`rvpo/NAME/neglected` (frozen, neglected) or `rvpo/no_signal`, 1 while they hold. docs/experiments.md says how often the
first two were right.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

PATIENCE = 5
"""Steps in a row until `absent` and `no_signal` are reported."""
WINDOW = 20
"""Steps over which a reward is averaged."""
CONSTANT, VARIES = 0.9, 0.2
"""Share of groups from which on a reward counts as frozen, if another varies in at least the second share."""
LOW = 0.5
"""Share of its range so far, below which a constant reward counts as frozen: one that is solved is constant too."""
FALLEN, RISEN = 0.2, 0.02
"""Shares of their ranges so far, by which a reward has to fall and the others to rise in the same time."""


@dataclass
class _Reward:
    recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    """(mean, share of groups without variation) of the last steps."""
    means: list[float] = field(default_factory=list)
    """Averages over the window, from the first full one on."""
    best: float = float("-inf")
    worst: float = float("inf")

    @property
    def range(self) -> float:
        return self.best - self.worst

    def average(self, index: int) -> float:
        return sum(values[index] for values in self.recent) / len(self.recent)


class Monitor:
    """Follows the metrics of one training, step by step."""

    def __init__(self) -> None:
        self._rewards: dict[str, _Reward] = {}
        self._reported: set[tuple[str, str]] = set()
        self._steps_in_a_row: Counter[tuple[str, str]] = Counter()

    def observe(self, metrics: dict[str, float]) -> tuple[dict[str, float], list[str]]:
        """Adds one step.

        Args:
            metrics: what `batch_metrics` returned.

        Returns:
            Flags to log, for rewards seen for at least WINDOW steps; and lines to print, each once a training.
        """
        for name in _names(metrics):
            self._add(name, metrics)
        full = {name: reward for name, reward in self._rewards.items() if len(reward.recent) == WINDOW}
        flags, lines = self._without_signal(metrics)
        for name in full:
            for failure, line in (("frozen", _frozen(name, full)), ("neglected", _neglected(name, full))):
                flags[f"rvpo/{name}/{failure}"] = float(line is not None)
                if line is not None and (name, failure) not in self._reported:
                    self._reported.add((name, failure))
                    lines.append(line)
        return flags, lines

    def _without_signal(self, metrics: dict[str, float]) -> tuple[dict[str, float], list[str]]:
        missing = {name: metrics.get(f"rvpo/{name}/missing") == 1 for name in _names(metrics)}
        no_signal = all(
            gone or metrics[f"rvpo/{name}/constant_groups"] == 1 or metrics.get(f"rvpo/{name}/weight") == 0
            for name, gone in missing.items()
        )
        holds = {("absent", name): value for name, value in missing.items()} | {("no_signal", ""): no_signal}
        lines = []
        for key, value in holds.items():
            self._steps_in_a_row[key] = self._steps_in_a_row[key] + 1 if value else 0
            if self._steps_in_a_row[key] == PATIENCE and key not in self._reported:
                self._reported.add(key)
                lines.append(_absent(key[1]) if key[0] == "absent" else NO_SIGNAL)
        return {"rvpo/no_signal": float(no_signal)}, lines

    def _add(self, name: str, metrics: dict[str, float]) -> None:
        mean = metrics[f"rvpo/{name}/mean"]
        if mean != mean:  # no response had it
            return
        reward = self._rewards.setdefault(name, _Reward())
        reward.recent.append((mean, metrics[f"rvpo/{name}/constant_groups"]))
        reward.best = max(reward.best, metrics[f"rvpo/{name}/best"])
        reward.worst = min(reward.worst, metrics[f"rvpo/{name}/worst"])
        if len(reward.recent) == WINDOW:
            reward.means.append(reward.average(0))


NO_SIGNAL = (
    f"rvpo: THIS TRAINING LEARNS NOTHING: for {PATIENCE} steps in a row no reward with a weight varied in any group, "
    "so that every advantage was 0. Check that the rewards apply to the data (rvpo/NAME/missing), that sampling is "
    "random (actor_rollout_ref.rollout.temperature), and whether the prompts are all too easy or too hard"
)


def _absent(name: str) -> str:
    return (
        f"rvpo: {name} is absent: for {PATIENCE} steps in a row no response had it. It applies to none of the data "
        "(its data_sources, the columns that it reads), or it always fails (rvpo/NAME/failed)"
    )


def _names(metrics: dict[str, float]) -> list[str]:
    return [key[len("rvpo/") : -len("/best")] for key in metrics if key.endswith("/best")]


def _frozen(name: str, rewards: dict[str, _Reward]) -> str | None:
    reward = rewards[name]
    mean, constant = reward.average(0), reward.average(1)
    others = [other.average(1) for key, other in rewards.items() if key != name]
    low = reward.range > 0 and mean < reward.worst + LOW * reward.range
    if constant < CONSTANT or not low or not others or min(others) > 1 - VARIES:
        return None
    return (
        f"rvpo: {name} is frozen: for {WINDOW} steps it was the same for all responses of {constant:.0%} of the "
        f"groups, at a mean of {mean:.3g}, though {reward.best:.3g} was seen. It is not being learned: lower "
        "algorithm.rvpo.k, or use aggregation=mean, until it varies; or larger groups"
    )


def _neglected(name: str, rewards: dict[str, _Reward]) -> str | None:
    reward = rewards[name]
    peak = max(range(len(reward.means)), key=reward.means.__getitem__)
    now, then = reward.means[-1], reward.means[peak]
    others = [
        other for key, other in rewards.items() if key != name and len(other.means) == len(reward.means)
    ]
    risen = sum(other.means[-1] - other.means[peak] > RISEN * other.range for other in others)
    if then - now < FALLEN * reward.range or reward.range == 0 or not others or 2 * risen < len(others):
        return None
    return (
        f"rvpo: {name} is being neglected: its mean fell from {then:.3g} to {now:.3g} while {risen} of "
        f"{len(others)} other rewards rose. Start again with a larger algorithm.rvpo.k from the first step: "
        "a reward that most responses lack is no longer protected"
    )

"""What a reward is: a callable that names its arguments, and optionally says more about itself.

A plain function is a reward. An object with `__call__` may add any of the methods below; start-up validation
and `rvpo-verl plan` ask them, so that neither knows any reward by its name.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from rvpo_verl.rewards.score import Score

Returned: TypeAlias = float | Mapping[str, float | Score | str | None] | None
"""What a reward returns: a finite number; None where it does not apply; or a dict of those by name, in which a value
may also be a `Score`, or text for those who read verl's dumps. Booleans and scalars of numpy and torch are numbers."""


@dataclass(frozen=True)
class RunContext:
    """What is known of the training before it starts."""

    reward_workers: int = 1
    """Processes that will score responses."""
    serves_reward_model: bool = False
    """Whether verl serves a reward model, whose address is not known yet."""
    timeout: float | None = None
    """`timeout` of this reward, in seconds."""


class Reward(Protocol):
    """A function, sync or async, that names the arguments it wants.

    Those that are fields of `Sample` are filled from the response; the others come from `kwargs` of the configuration.
    An exception, or a number that is not finite, makes the reward missing for that response.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Returned | Awaitable[Returned]:
        """The reward of one response."""


@runtime_checkable
class Validates(Protocol):
    """A reward that checks its configuration."""

    def validate(self, kwargs: Mapping[str, Any], run: RunContext) -> None:
        """Checks the reward's `kwargs`. Pure: opens no file and no connection.

        Raises:
            ConfigError: the reward could only fail.
        """


@runtime_checkable
class Probes(Protocol):
    """A reward that depends on services."""

    def probe(self, kwargs: Mapping[str, Any], run: RunContext) -> list[str]:
        """Asks the services that the reward depends on once, in the driver, before anything is loaded.

        Returns:
            Warnings.

        Raises:
            ConfigError: the reward could only fail.
        """


@runtime_checkable
class RequiresColumns(Protocol):
    """A reward that reads columns of the data inside of its arguments."""

    def required_columns(self, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Columns of the data that the reward reads, such as `extra_info.rubric`."""


@runtime_checkable
class CallsServices(Protocol):
    """A reward whose calls to services `rvpo-verl plan` counts."""

    def calls_per_response(self, kwargs: Mapping[str, Any], row: Mapping[str, Any]) -> float:
        """Calls to services for one response to the prompt of `row`, a row of the data file."""
